{{/* What no schema can say. */}}
{{- define "headroom.check" -}}
{{- if eq (toString .Values.enabled) "false" -}}
{{- fail "enabled: false is for a chart above that names this one with `condition`; here it would install everything" -}}
{{- end -}}
{{- $claim := .Values.model.claim -}}
{{- if not (or $claim.name $claim.create .Values.model.volume) -}}
{{- fail "model.claim.name: name the PersistentVolumeClaim that holds the model, or set model.claim.create, or model.volume for another kind of volume" -}}
{{- end -}}
{{- if and .Values.model.volume (or $claim.name $claim.create) -}}
{{- fail "model.volume: stands in place of a claim: leave model.claim.name empty and model.claim.create false" -}}
{{- end -}}
{{- if .Values.model.download.enabled -}}
{{- if .Values.model.volume -}}{{- fail "model.download.enabled: a download fills a claim, not model.volume" -}}{{- end -}}
{{- if not .Values.model.download.image -}}{{- fail "model.download.image: required for a download: a shell, curl and sha256sum" -}}{{- end -}}
{{- if not .Values.model.download.files -}}{{- fail "model.download.files: nothing to download" -}}{{- end -}}
{{- $paths := dict -}}
{{- range $index, $file := .Values.model.download.files -}}
{{- if hasKey $paths $file.path -}}{{- fail (printf "model.download.files[%d].path: %s stands twice" $index $file.path) -}}{{- end -}}
{{- $_ := set $paths $file.path true -}}
{{- end -}}
{{- end -}}
{{- include "headroom.checkService" .Values.gateway.service -}}
{{- $pools := (include "headroom.pools" . | fromYaml).pools -}}
{{- include "headroom.checkComponents" (dict "root" . "pools" $pools) -}}
{{- $names := dict -}}
{{- range $pools -}}
{{- if hasKey $names .name -}}{{- fail (printf "%s.name: %s is the name of another pool" .key .name) -}}{{- end -}}
{{- $_ := set $names .name true -}}
{{- end -}}
{{- range $name, $plan := .Values.plans -}}
{{- if not (hasKey $names $name) -}}{{- fail (printf "plans.%s: there is no pool of this name" $name) -}}{{- end -}}
{{- end -}}
{{- include "headroom.checkModels" (dict "root" . "pools" $pools) -}}
{{- end -}}

{{/* (root, pools): names of models, which pool serves which, and that the workers of one count alike. */}}
{{- define "headroom.checkModels" -}}
{{- $names := dict -}}
{{- $aliases := dict -}}
{{- $models := default list .root.Values.models -}}
{{- if and $models (or .root.Values.model.directory (ne .root.Values.model.dtype "bf16")) -}}
{{- fail "model.directory, model.dtype: with `models` each has its own there" -}}
{{- end -}}
{{- range $index, $model := $models -}}
{{- range concat (list $model.name) (default list $model.aliases) -}}
{{- if hasKey $aliases . -}}{{- fail (printf "models[%d]: the name %s stands twice" $index .) -}}{{- end -}}
{{- $_ := set $aliases . true -}}
{{- end -}}
{{- $_ := set $names $model.name (printf "models[%d]" $index) -}}
{{- end -}}
{{- $served := dict -}}
{{- $blockSizes := dict -}}
{{- range .pools -}}
{{- if and .model (not (hasKey $names .model)) -}}{{- fail (printf "%s.model: %s is no name in models" .key .model) -}}{{- end -}}
{{- if and (gt (len $models) 1) (not .model) -}}{{- fail (printf "%s.model: which of models does it serve?" .key) -}}{{- end -}}
{{- if eq .role "llm" -}}
{{- $_ := set $served .model true -}}
{{- $size := get .knobs "block_size" | default 16 | int -}}
{{- $first := get $blockSizes .model | default (dict "name" .name "size" $size) -}}
{{- if ne $size (int $first.size) -}}
{{- fail (printf "%s.knobs.block_size: all llm pools of a model must have the same, %s has %d" .key $first.name (int $first.size)) -}}
{{- end -}}
{{- $_ := set $blockSizes .model $first -}}
{{- end -}}
{{- end -}}
{{- range $name, $key := $names -}}
{{- if not (or (hasKey $served $name) (hasKey $served "")) -}}{{- fail (printf "%s: no llm pool serves %s" $key $name) -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Fields of the gateway's Service that its type does not take; the API server drops or refuses them. */}}
{{- define "headroom.checkService" -}}
{{- $service := . -}}
{{- $takers := dict "loadBalancerClass" (list "LoadBalancer") "loadBalancerSourceRanges" (list "LoadBalancer")
      "nodePort" (list "NodePort" "LoadBalancer") "externalTrafficPolicy" (list "NodePort" "LoadBalancer") -}}
{{- range $field, $types := $takers -}}
{{- if and (get $service $field) (not (has $service.type $types)) -}}
{{- fail (printf "gateway.service.%s: only for type %s, and gateway.service.type is %s" $field (join " or " $types) $service.type) -}}
{{- end -}}
{{- end -}}
{{- if and (gt (len (default list $service.ipFamilies)) 1) (not (has $service.ipFamilyPolicy (list "PreferDualStack" "RequireDualStack"))) -}}
{{- fail "gateway.service.ipFamilies: two of them want ipFamilyPolicy PreferDualStack or RequireDualStack" -}}
{{- end -}}
{{- end -}}
