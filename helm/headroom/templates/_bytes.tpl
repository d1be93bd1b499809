{{/* An integer or text such as 512MiB as bytes. */}}
{{- define "headroom.bytes" -}}
{{- if kindIs "string" . -}}
{{- $units := dict "" 1 "KiB" 1024 "MiB" 1048576 "GiB" 1073741824 "TiB" 1099511627776 -}}
{{- mul (regexFind "^[0-9]+" . | int64) (get $units (regexFind "[KMGT]iB$" .)) -}}
{{- else -}}
{{- int64 . -}}
{{- end -}}
{{- end -}}

{{/* Bytes as a Kubernetes quantity, rounded up. */}}
{{- define "headroom.quantity" -}}
{{- div (add (include "headroom.bytes" . | int64) 1048575) 1048576 -}}Mi
{{- end -}}

{{/* Bytes for people. */}}
{{- define "headroom.gib" -}}
{{- printf "%.2f GiB" (divf (include "headroom.bytes" . | float64) 1073741824.0) -}}
{{- end -}}

{{/* Memory of a service without a device: (memory, hostBytes, processBytes, key). gRPC's buffers are limited to 256 MiB by the services themselves. */}}
{{- define "headroom.serviceMemory" -}}
{{- $needed := add (include "headroom.bytes" .hostBytes | int64) 268435456 (int64 .processBytes) -}}
{{- if .memory -}}
{{- $given := include "headroom.bytes" .memory | int64 -}}
{{- if lt $given $needed -}}
{{- fail (printf "%s: %v is %d bytes, below the %d that its settings promise and the process needs" .key .memory $given $needed) -}}
{{- end -}}
{{- $given -}}
{{- else -}}
{{- $needed -}}
{{- end -}}
{{- end -}}

{{/* A value as the configuration file wants it: numbers come from YAML as floats and must not be written as such. */}}
{{- define "headroom.scalar" -}}
{{- if kindIs "string" . }}{{ quote . }}{{ else if kindIs "bool" . }}{{ . }}{{ else if eq (floor .) (float64 .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* A section of the configuration file from a map. */}}
{{- define "headroom.section" -}}
{{- range $key, $value := . }}
{{ $key }}: {{ include "headroom.scalar" $value }}
{{- end }}
{{- end -}}
