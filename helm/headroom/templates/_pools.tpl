{{/* All pools as YAML, {pools: […]}, with every default filled in, checked against their plans. What each pool gets:
     name, role, key (for messages), section, component, port, metricsPort, deviceBytes, hostBytes, shmBytes, knobs, settings and what values.yaml describes. */}}
{{- define "headroom.pools" -}}
{{- $root := . -}}
{{- $pools := list -}}
{{- range $index, $given := .Values.llmPools -}}
{{- $facts := dict "role" "llm" "section" "llm_worker" "component" "llm-worker" "port" 7703 "metricsPort" 7713 "key" (printf "llmPools[%d]" $index) -}}
{{- $pools = append $pools (include "headroom.pool" (dict "root" $root "given" $given "facts" $facts) | fromYaml) -}}
{{- end -}}
{{- range $index, $given := .Values.visionPools -}}
{{- $facts := dict "role" "vision" "section" "vision_worker" "component" "vision-worker" "port" 7702 "metricsPort" 7712 "key" (printf "visionPools[%d]" $index) -}}
{{- $pools = append $pools (include "headroom.pool" (dict "root" $root "given" $given "facts" $facts) | fromYaml) -}}
{{- end -}}
{{- dict "pools" $pools | toYaml -}}
{{- end -}}

{{/* (root, given, facts) */}}
{{- define "headroom.pool" -}}
{{- $defaults := dict "model" "" "replicas" 1 "backend" "cpu" "tensorParallel" 1 "hostMemory" "" "surge" 0 "startupSeconds" 1800 "drainSeconds" 120
      "knobs" dict "settings" dict "device" (dict "memory" "" "contextFloor" "" "libraries" "" "shmSize" "" "isa" "auto" "resourceName" "nvidia.com/gpu")
      "scheduling" (dict "nodeSelector" dict "tolerations" list "affinity" dict "priorityClassName" "" "runtimeClassName" "") -}}
{{- $pool := mergeOverwrite (deepCopy $defaults) (deepCopy .given) .facts -}}
{{- $key := $pool.key -}}
{{- if and (eq $pool.backend "cuda") (gt (int $pool.surge) 0) -}}
{{- fail (printf "%s.surge: must be 0 with backend cuda: without a spare GPU the update would never finish" $key) -}}
{{- end -}}
{{- if and (eq $pool.backend "cuda") (ne $pool.device.isa "auto") -}}
{{- fail (printf "%s.device.isa: only for backend cpu" $key) -}}
{{- end -}}
{{- if and (eq $pool.backend "cpu") (ne $pool.device.resourceName "nvidia.com/gpu") -}}
{{- fail (printf "%s.device.resourceName: only for backend cuda" $key) -}}
{{- end -}}
{{- if and (eq $pool.backend "cpu") $pool.device.shmSize -}}
{{- fail (printf "%s.device.shmSize: only for backend cuda" $key) -}}
{{- end -}}
{{- $shmBytes := 0 -}}
{{- with $pool.device.shmSize -}}
{{- $shmBytes = include "headroom.bytes" (dict "value" . "key" (printf "%s.device.shmSize" $key)) | int64 -}}
{{- end -}}
{{- $settings := include "headroom.settings" (dict "root" .root "section" $pool.section "settings" $pool.settings "key" (printf "%s.settings" $key)
      "defaults" (dict "host_bytes_max" "1GiB")) | fromYaml -}}
{{- $deviceBytes := 0 -}}
{{- if $pool.device.memory -}}
{{- $deviceBytes = include "headroom.bytes" (dict "value" $pool.device.memory "key" (printf "%s.device.memory" $key) "min" 16777216) | int64 -}}
{{- end -}}
{{- $promised := int64 $settings.host_bytes_max -}}
{{- /* gRPC's buffers; for vision the sandboxed decoders, a little above what `headroom plan` finds; for llm grammars of structured output. */ -}}
{{- $hostBytes := add $promised 268435456 -}}
{{- if eq $pool.role "vision" -}}
{{- $hostBytes = add $hostBytes (mul (get $settings "decoders" | default 1 | int64) (dig "image_pixels_max" 0 (default dict .root.Values.gateway.settings) | default 64000000 | int64) 16) -}}
{{- end -}}
{{- if eq $pool.role "llm" -}}{{- $hostBytes = add $hostBytes (get $settings "grammar_bytes_max" | default 67108864 | int64) -}}{{- end -}}
{{- /* A card's copies pass through pinned memory (kPinnedBytes of memory/device_memory.h). */ -}}
{{- if eq $pool.backend "cuda" -}}{{- $hostBytes = add $hostBytes 16777216 -}}{{- end -}}
{{- if $pool.hostMemory -}}
{{- $hostBytes = include "headroom.bytes" (dict "value" $pool.hostMemory "key" (printf "%s.hostMemory" $key)) | int64 -}}
{{- if lt $hostBytes $promised -}}
{{- fail (printf "%s.hostMemory: %d bytes, below settings.host_bytes_max of %d" $key $hostBytes $promised) -}}
{{- end -}}
{{- end -}}
{{- $plan := get (default dict .root.Values.plans) $pool.name -}}
{{- if $plan -}}
{{- include "headroom.checkPlan" (dict "pool" $pool "plan" $plan "deviceBytes" $deviceBytes "hostBytes" $hostBytes) -}}
{{- if not $pool.device.memory -}}{{- $deviceBytes = int64 $plan.deviceBytes -}}{{- end -}}
{{- if not $pool.hostMemory -}}{{- $hostBytes = int64 $plan.hostBytes -}}{{- end -}}
{{- $_ := set $pool "knobs" (merge $pool.knobs (default dict $plan.knobs)) -}}
{{- end -}}
{{- if not $deviceBytes -}}
{{- fail (printf "%s.device.memory: not set, and plans.%s does not say it" $key $pool.name) -}}
{{- end -}}
{{- $_ := set $pool "settings" $settings -}}
{{- $_ := set $pool "deviceBytes" $deviceBytes -}}
{{- $_ := set $pool "hostBytes" $hostBytes -}}
{{- $_ := set $pool "shmBytes" $shmBytes -}}
{{- toYaml $pool -}}
{{- end -}}

{{/* Refuses a pool that promises less than its plan needs, or that is no longer the pool that was planned: (pool, plan, deviceBytes, hostBytes) */}}
{{- define "headroom.checkPlan" -}}
{{- $pool := .pool -}}
{{- $plan := .plan -}}
{{- $sum := 0 -}}
{{- range $component, $bytes := $plan.components -}}{{- $sum = add $sum (int64 $bytes) -}}{{- end -}}
{{- if ne $sum (int64 $plan.deviceBytes) -}}
{{- fail (printf "plans.%s.components: sum to %d, not to deviceBytes, %d: was the file edited?" $pool.name $sum (int64 $plan.deviceBytes)) -}}
{{- end -}}
{{- if ne $plan.role $pool.role -}}
{{- fail (printf "plans.%s.role: is a plan for %s, and %s is a pool for %s" $pool.name $plan.role $pool.key $pool.role) -}}
{{- end -}}
{{- if ne $plan.backend $pool.backend -}}
{{- fail (printf "plans.%s.backend: %s, and %s.backend is %s" $pool.name $plan.backend $pool.key $pool.backend) -}}
{{- end -}}
{{- if and $pool.device.memory (lt .deviceBytes (int64 $plan.deviceBytes)) -}}
{{- fail (printf "%s.device.memory: %d bytes, below plans.%s.deviceBytes, %d" $pool.key .deviceBytes $pool.name (int64 $plan.deviceBytes)) -}}
{{- end -}}
{{- if and $pool.hostMemory (lt .hostBytes (int64 $plan.hostBytes)) -}}
{{- fail (printf "%s.hostMemory: %d bytes, below plans.%s.hostBytes, %d" $pool.key .hostBytes $pool.name (int64 $plan.hostBytes)) -}}
{{- end -}}
{{- range $knob, $value := $pool.knobs -}}
{{- if and (hasKey (default dict $plan.knobs) $knob) (ne (include "headroom.scalar" $value) (get $plan.knobs $knob | include "headroom.scalar")) -}}
{{- fail (printf "%s.knobs.%s: %s, but plans.%s was made for %s: plan again" $pool.key $knob (include "headroom.scalar" $value) $pool.name (get $plan.knobs $knob | include "headroom.scalar")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
