{{/* The configuration file of a service: what all read, then sections of its own: (root, drainSeconds, sections {name: map}) */}}
{{- define "headroom.config" -}}
{{- $root := .root -}}
{{- $sections := mergeOverwrite (dict
      "cluster" (dict "id" (printf "%s/%s" $root.Release.Namespace (include "headroom.fullname" $root)) "drain_ms_max" (mul (int .drainSeconds) 1000))
      "log" (dict "level" $root.Values.logLevel)) .sections -}}
{{- range $name, $section := $sections -}}
{{- if $section }}
{{ $name }}:
  {{- include "headroom.section" $section | nindent 2 | replace "\n  \n" "\n" }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "headroom.modelSection" -}}
path: {{ include "headroom.modelPath" . }}
dtype: {{ .Values.model.dtype }}
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
{{- $own := merge (dict "scheduler" (include "headroom.schedulerAddress" $root)) $pool.settings -}}
{{- $sections := dict "model" (include "headroom.modelSection" $root | fromYaml) "device" $device "knobs" $pool.knobs $pool.section $own -}}
{{- if eq $pool.role "vision" -}}
{{- $_ := set $sections "gateway" (pick $root.Values.gateway.settings "receive_bytes_max" "image_pixels_max" "image_side_max") -}}
{{- end -}}
{{- include "headroom.config" (dict "root" $root "drainSeconds" $pool.drainSeconds "sections" $sections) -}}
{{- end -}}
