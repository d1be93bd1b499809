{{/* A value as the configuration file wants it: numbers come from YAML as floats and must not be written as such. */}}
{{- define "headroom.scalar" -}}
{{- if kindIs "string" . }}{{ quote . }}{{ else if kindIs "bool" . }}{{ . }}{{ else if eq (floor .) (float64 .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* A section of the configuration file from a map. */}}
{{- define "headroom.section" -}}
{{- range $key, $value := . }}
{{ $key }}: {{ if kindIs "slice" $value }}{{ toJson $value }}{{ else }}{{ include "headroom.scalar" $value }}{{ end }}
{{- end }}
{{- end -}}

{{/* Settings with what the chart itself counts with filled in, and amounts of memory in bytes: (root, section, settings, key for messages, defaults) */}}
{{- define "headroom.settings" -}}
{{- $given := . -}}
{{- $settings := merge (deepCopy (default dict .settings)) .defaults -}}
{{- range $name, $limits := .root.Files.Get "files/bytes.yaml" | fromYaml | dig .section dict -}}
{{- if hasKey $settings $name -}}
{{- $bytes := dict "value" (get $settings $name) "key" (printf "%s.%s" $given.key $name) "min" (first $limits) "max" (last $limits) -}}
{{- $_ := set $settings $name (include "headroom.bytes" $bytes | int64) -}}
{{- end -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{- define "headroom.gatewaySettings" -}}
{{- include "headroom.settings" (dict "root" . "section" "gateway" "settings" .Values.gateway.settings "key" "gateway.settings"
      "defaults" (dict "host_bytes_max" "1GiB")) -}}
{{- end -}}

{{/* The configuration file of a service: what all read, then sections of its own: (root, drainSeconds, sections {name: map}) */}}
{{- define "headroom.config" -}}
{{- $root := .root -}}
{{- $sections := mergeOverwrite (dict
      "cluster" (dict "id" (printf "%s/%s" $root.Release.Namespace (include "headroom.fullname" $root)) "drain_ms_max" (mul (int .drainSeconds) 1000))
      "log" (dict "level" $root.Values.logLevel)) .sections -}}
{{- range $name, $section := $sections -}}
{{- if $section }}
{{ $name }}:
  {{- if kindIs "slice" $section }}
  {{- toYaml $section | nindent 2 }}
  {{- else }}
  {{- include "headroom.section" $section | nindent 2 | replace "\n  \n" "\n" }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a gateway reads: the list, or the only one. */}}
{{- define "headroom.modelSections" -}}
{{- $models := (include "headroom.models" . | fromYaml).models -}}
{{- if .Values.models -}}
{{- dict "models" $models | toYaml -}}
{{- else -}}
{{- dict "model" (first $models) | toYaml -}}
{{- end -}}
{{- end -}}

{{/* What the workers of a pool read: the model that they serve: (root, pool) */}}
{{- define "headroom.modelOfPool" -}}
{{- $pool := .pool -}}
{{- $models := (include "headroom.models" .root | fromYaml).models -}}
{{- $own := first $models -}}
{{- range $models -}}
{{- if and $pool.model (eq $pool.model (default "" .name)) -}}{{- $own = . -}}{{- end -}}
{{- end -}}
{{- /* Aliases are the gateway's: one more restarts no worker. */ -}}
{{- omit $own "aliases" | toYaml -}}
{{- end -}}

{{/* The file of a pool: (root, pool). Vision workers check images against the gateway's limits again. */}}
{{- define "headroom.poolConfig" -}}
{{- $root := .root -}}
{{- $pool := .pool -}}
{{- $device := dict "kind" $pool.backend "memory" (int64 $pool.deviceBytes) -}}
{{- if eq $pool.backend "cpu" -}}
{{- $_ := set $device "isa" $pool.device.isa -}}
{{- $_ := set $device "threads" (int $pool.cpu) -}}
{{- end -}}
{{- range $name, $key := dict "contextFloor" "context_floor" "libraries" "libraries" -}}
{{- with get $pool.device $name -}}
{{- $_ := set $device $key (include "headroom.bytes" (dict "value" . "key" (printf "%s.device.%s" $pool.key $name) "max" 1099511627776) | int64) -}}
{{- end -}}
{{- end -}}
{{- $own := merge (dict "scheduler" (include "headroom.schedulerAddress" $root)) $pool.settings -}}
{{- $sections := dict "model" (include "headroom.modelOfPool" . | fromYaml) "device" $device "knobs" $pool.knobs $pool.section $own -}}
{{- if eq $pool.role "vision" -}}
{{- $_ := set $sections "gateway" (pick (include "headroom.gatewaySettings" $root | fromYaml) "receive_bytes_max" "image_pixels_max" "image_side_max") -}}
{{- end -}}
{{- include "headroom.config" (dict "root" $root "drainSeconds" $pool.drainSeconds "sections" $sections) -}}
{{- end -}}
