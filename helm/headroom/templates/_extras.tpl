{{/* What people add to a component's pods: labels, annotations, extraEnv, extraVolumes, extraVolumeMounts, initContainers. `values` is the component's own part
     of the values, `key` its path for messages. _check.tpl refuses what collides with the chart's own before any of this is rendered. */}}

{{/* Labels of a pod beside the chart's own: (root, values) */}}
{{- define "headroom.podLabels" -}}
{{- include "headroom.namesWith" (dict "all" .root.Values.podLabels "own" .values.labels) -}}
{{- end -}}

{{/* Annotations of a pod beside the chart's own: (root, values) */}}
{{- define "headroom.podAnnotations" -}}
{{- include "headroom.namesWith" (dict "all" .root.Values.podAnnotations "own" .values.annotations) -}}
{{- end -}}

{{/* Those of all pods, then a component's own, which may be empty texts: (all, own) */}}
{{- define "headroom.namesWith" -}}
{{- $names := deepCopy (default dict .all) -}}
{{- range $name, $value := .own -}}{{- $_ := set $names $name $value -}}{{- end -}}
{{- include "headroom.list" $names -}}
{{- end -}}

{{/* A list or map as YAML; nothing when it is empty. */}}
{{- define "headroom.list" -}}
{{- with . }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* extraVolumes, sizes as Kubernetes writes them: (values, key) */}}
{{- define "headroom.extraVolumes" -}}
{{- $key := .key -}}
{{- $volumes := list -}}
{{- range $index, $volume := .values.extraVolumes -}}
{{- $volume = deepCopy $volume -}}
{{- $size := dig "emptyDir" "sizeLimit" "" $volume -}}
{{- if $size -}}
{{- $_ := include "headroom.memory" (dict "value" $size "key" (printf "%s.extraVolumes[%d].emptyDir.sizeLimit" $key $index)) | set $volume.emptyDir "sizeLimit" -}}
{{- end -}}
{{- $volumes = append $volumes $volume -}}
{{- end -}}
{{- include "headroom.list" $volumes -}}
{{- end -}}

{{/* Bytes that extraVolumes in memory may take: they count against the limit of the container that writes them: (values, key) */}}
{{- define "headroom.volumesInMemory" -}}
{{- $key := .key -}}
{{- $sum := 0 -}}
{{- range $index, $volume := .values.extraVolumes -}}
{{- if eq (dig "emptyDir" "medium" "" $volume) "Memory" -}}
{{- $at := printf "%s.extraVolumes[%d].emptyDir.sizeLimit" $key $index -}}
{{- if not $volume.emptyDir.sizeLimit -}}
{{- fail (printf "%s: required with medium Memory: the pod's memory grows by it" $at) -}}
{{- end -}}
{{- $sum = add $sum (include "headroom.bytes" (dict "value" $volume.emptyDir.sizeLimit "key" $at) | int64) -}}
{{- end -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/* Requests or limits of an init container, as Kubernetes writes them: (amounts, key) */}}
{{- define "headroom.amounts" -}}
{{- $amounts := dict -}}
{{- $key := .key -}}
{{- range $resource, $value := .amounts -}}
{{- $at := dict "value" $value "key" (printf "%s.%s" $key $resource) -}}
{{- if eq $resource "cpu" -}}{{- $_ := include "headroom.cpu" $at | set $amounts $resource -}}
{{- else if has $resource (list "memory" "ephemeral-storage") -}}{{- $_ := include "headroom.memory" $at | set $amounts $resource -}}
{{- else -}}{{- $_ := toString $value | set $amounts $resource -}}
{{- end -}}
{{- end -}}
{{- toYaml $amounts -}}
{{- end -}}

{{/* initContainers with what the chart fills in: (root, values, key, requests and limits of the container that they come before). They run before it, so that
     having what it has costs nothing; one that stays (restartPolicy Always) says itself what it needs. */}}
{{- define "headroom.initContainers" -}}
{{- $given := . -}}
{{- $containers := list -}}
{{- range $index, $container := .values.initContainers -}}
{{- $resources := dict "requests" (pick $given.requests "cpu" "memory") "limits" (pick $given.limits "cpu" "memory") -}}
{{- if $container.resources -}}
{{- $resources = dict -}}
{{- range $kind, $amounts := $container.resources -}}
{{- $at := printf "%s.initContainers[%d].resources.%s" $given.key $index $kind -}}
{{- $_ := include "headroom.amounts" (dict "amounts" $amounts "key" $at) | fromYaml | set $resources $kind -}}
{{- end -}}
{{- end -}}
{{- $security := mergeOverwrite (include "headroom.containerSecurity" $given.root | fromYaml) (deepCopy (default dict $container.securityContext)) -}}
{{- $filled := dict "resources" $resources "securityContext" $security -}}
{{- $containers = append $containers (mergeOverwrite (dict "imagePullPolicy" $given.root.Values.image.pullPolicy) (deepCopy $container) $filled) -}}
{{- end -}}
{{- include "headroom.list" $containers -}}
{{- end -}}

{{/* The volume with the model, without its name. Containers that serve mount it read-only. */}}
{{- define "headroom.modelVolume" -}}
{{- if .Values.model.volume -}}
{{- toYaml .Values.model.volume -}}
{{- else -}}
persistentVolumeClaim:
  claimName: {{ include "headroom.claim" . }}
  readOnly: true
{{- end -}}
{{- end -}}
