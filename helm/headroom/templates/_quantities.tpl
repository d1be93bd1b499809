{{/* Amounts, as people of Headroom (512MiB) and of Kubernetes (512Mi, 1.5Gi, 2G, 500m) write them. */}}

{{/* Bytes of an amount, rounded up to whole ones: (value, key for the message; optional min, max) */}}
{{- define "headroom.bytes" -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $text := ternary .value (int64 .value | toString) (kindIs "string" .value) -}}
{{- if not (regexMatch "^[0-9]+([.][0-9]+)?( ?[KMGT]iB|[KMGT]i|[kMGT])?$" $text) -}}
{{- fail (printf "%s: %q is no amount of memory: want bytes as a number, or text such as 512MiB, 512Mi, 1.5Gi or 2G" .key $text) -}}
{{- end -}}
{{- $number := regexFind "^[0-9.]+" $text -}}
{{- $bytes := mulf (float64 $number) (trimPrefix $number $text | trim | trimSuffix "B" | get $units) | ceil -}}
{{- $min := default 1 .min | float64 -}}
{{- $max := default 70368744177664 .max | float64 -}}
{{- if or (lt $bytes $min) (gt $bytes $max) -}}
{{- fail (printf "%s: %s is %.0f bytes, want from %.0f to %.0f" .key $text $bytes $min $max) -}}
{{- end -}}
{{- int64 $bytes -}}
{{- end -}}

{{/* A number of bytes as a Kubernetes quantity, rounded up. */}}
{{- define "headroom.quantity" -}}
{{- div (add (int64 .) 1048575) 1048576 -}}Mi
{{- end -}}

{{/* An amount of memory as a Kubernetes quantity: (value, key) */}}
{{- define "headroom.memory" -}}
{{- include "headroom.bytes" . | int64 | include "headroom.quantity" -}}
{{- end -}}

{{/* Cores, or thousandths of them, as a Kubernetes quantity: (value, key) */}}
{{- define "headroom.cpu" -}}
{{- $text := toString .value -}}
{{- $want := "want cores as a number, or text such as 2, 0.5 or 500m: from 1m to 1024" -}}
{{- if not (regexMatch "^([0-9]+m|[0-9]+([.][0-9]+)?)$" $text) -}}
{{- fail (printf "%s: %q is no amount of CPU: %s" .key $text $want) -}}
{{- end -}}
{{- $thousandths := trimSuffix "m" $text | float64 -}}
{{- if not (hasSuffix "m" $text) -}}{{- $thousandths = mulf $thousandths 1000 -}}{{- end -}}
{{- if or (ne $thousandths (floor $thousandths)) (lt $thousandths 1.0) (gt $thousandths 1024000.0) -}}
{{- fail (printf "%s: %s, %s" .key $text $want) -}}
{{- end -}}
{{- $thousandths = int64 $thousandths -}}
{{- if mod $thousandths 1000 -}}{{- $thousandths -}}m{{- else -}}{{- div $thousandths 1000 -}}{{- end -}}
{{- end -}}

{{/* Bytes for people. */}}
{{- define "headroom.gib" -}}
{{- printf "%.2f GiB" (divf (float64 .) 1073741824.0) -}}
{{- end -}}

{{/* Memory of a service without a device, in bytes: (memory, hostBytes, processBytes, key). gRPC's buffers are limited to 256 MiB by the services themselves. */}}
{{- define "headroom.serviceMemory" -}}
{{- $needed := add (int64 .hostBytes) 268435456 (int64 .processBytes) -}}
{{- if .memory -}}
{{- $given := include "headroom.bytes" (dict "value" .memory "key" .key) | int64 -}}
{{- if lt $given $needed -}}
{{- fail (printf "%s: %v is %d bytes, below the %d that its settings promise and the process needs" .key .memory $given $needed) -}}
{{- end -}}
{{- $given -}}
{{- else -}}
{{- $needed -}}
{{- end -}}
{{- end -}}
