{{/* What people add must not take the place of what the chart itself puts there: Kubernetes would refuse it without saying whose it is, or let it win. */}}

{{/* (root, pools) */}}
{{- define "headroom.checkComponents" -}}
{{- $values := .root.Values -}}
{{- $poolNames := list -}}
{{- range .pools -}}{{- $poolNames = append $poolNames .name -}}{{- end -}}
{{- $components := list
      (dict "key" "gateway" "values" $values.gateway "containers" (list "gateway") "model" true)
      (dict "key" "scheduler" "values" $values.scheduler "containers" (list "scheduler"))
      (dict "key" "model.download" "values" $values.model.download "containers" (list "download") "paths" (list "/etc/download" "/etc/download-secret") "model" true)
      (dict "key" "planCheck" "values" $values.planCheck "containers" $poolNames "model" true)
      (dict "key" "tests" "values" $values.tests "containers" (list "status" "ask" "stream" "image" "idle") "paths" (list "/tests")) -}}
{{- range .pools -}}
{{- $paths := list -}}
{{- if eq .backend "cuda" -}}{{- $paths = append $paths "/tmp" -}}{{- end -}}
{{- if .shmBytes -}}{{- $paths = append $paths "/dev/shm" -}}{{- end -}}
{{- $components = append $components (dict "key" .key "values" . "containers" (list .component) "paths" $paths "model" true "guaranteed" true) -}}
{{- end -}}
{{- range $components -}}{{- include "headroom.checkComponent" . -}}{{- end -}}
{{- $service := $values.gateway.service -}}
{{- $monitoring := $values.monitoring -}}
{{- range $key, $names := dict "podLabels" $values.podLabels "podAnnotations" $values.podAnnotations "gateway.service.labels" $service.labels
      "monitoring.podMonitor.labels" $monitoring.podMonitor.labels "monitoring.rules.labels" $monitoring.rules.labels
      "monitoring.dashboards.labels" $monitoring.dashboards.labels -}}
{{- include "headroom.checkNames" (dict "names" $names "key" $key) -}}
{{- end -}}
{{- end -}}

{{/* Labels or annotations: (names, key) */}}
{{- define "headroom.checkNames" -}}
{{- $key := .key -}}
{{- range $name, $_ := .names -}}
{{- if regexMatch "^(app[.]kubernetes[.]io/(name|instance|component|version|managed-by)$|helm[.]sh/|headroom/)" $name -}}
{{- fail (printf "%s: %s is set by the chart itself" $key $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (key, values, containers (names), optional paths (where the chart mounts), model (is mounted), guaranteed (requests must be limits)) */}}
{{- define "headroom.checkComponent" -}}
{{- $component := . -}}
{{- $key := .key -}}
{{- include "headroom.checkNames" (dict "names" .values.labels "key" (printf "%s.labels" $key)) -}}
{{- include "headroom.checkNames" (dict "names" .values.annotations "key" (printf "%s.annotations" $key)) -}}
{{- include "headroom.checkEnv" (dict "env" .values.extraEnv "key" (printf "%s.extraEnv" $key) "own" (list "POD_NAME" "POD_IP" "HOME")) -}}
{{- $volumes := list -}}
{{- range $index, $volume := .values.extraVolumes -}}
{{- $at := printf "%s.extraVolumes[%d].name: %s" $key $index $volume.name -}}
{{- if has $volume.name (list "config" "model" "tmp" "download" "secret" "shm" "tests") -}}{{- fail (printf "%s is a volume of the chart's own" $at) -}}{{- end -}}
{{- if has $volume.name $volumes -}}{{- fail (printf "%s stands twice" $at) -}}{{- end -}}
{{- $volumes = append $volumes $volume.name -}}
{{- end -}}
{{- $paths := concat (list "/etc/headroom" "/models") (default list .paths) -}}
{{- include "headroom.checkMounts" (dict "mounts" .values.extraVolumeMounts "key" (printf "%s.extraVolumeMounts" $key) "volumes" $volumes "own" $paths "source" $key) -}}
{{- if .model -}}{{- $volumes = append $volumes "model" -}}{{- end -}}
{{- $containers := .containers -}}
{{- range $index, $container := .values.initContainers -}}
{{- $at := printf "%s.initContainers[%d]" $key $index -}}
{{- if has $container.name $containers -}}{{- fail (printf "%s.name: %s is the name of another container" $at $container.name) -}}{{- end -}}
{{- $containers = append $containers $container.name -}}
{{- include "headroom.checkEnv" (dict "env" $container.env "key" (printf "%s.env" $at) "own" list) -}}
{{- include "headroom.checkMounts" (dict "mounts" $container.volumeMounts "key" (printf "%s.volumeMounts" $at) "volumes" $volumes "own" list "source" $key) -}}
{{- $security := default dict $container.securityContext -}}
{{- if and (hasKey $security "runAsUser") (eq (toString $security.runAsUser) "0") (ne (toString $security.runAsNonRoot) "false") -}}
{{- fail (printf "%s.securityContext.runAsUser: 0 needs runAsNonRoot: false beside it, or the kubelet does not start it" $at) -}}
{{- end -}}
{{- if and (eq (default "" $container.restartPolicy) "Always") (not $container.resources) -}}
{{- fail (printf "%s.resources: required with restartPolicy Always: it runs beside the pod's own container" $at) -}}
{{- end -}}
{{- if and $component.guaranteed $container.resources -}}
{{- $requests := default dict $container.resources.requests -}}
{{- $limits := default dict $container.resources.limits -}}
{{- range list "cpu" "memory" -}}
{{- if or (not (get $limits .)) (and (hasKey $requests .) (ne (get $requests . | toString) (get $limits . | toString))) -}}
{{- fail (printf "%s.resources: want a limit of %s, and no other request: a worker's pod is Guaranteed" $at .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (env, key, own (names of the chart's)) */}}
{{- define "headroom.checkEnv" -}}
{{- $given := . -}}
{{- $names := list -}}
{{- range $index, $variable := .env -}}
{{- $at := printf "%s[%d].name: %s" $given.key $index $variable.name -}}
{{- if has $variable.name $given.own -}}{{- fail (printf "%s is set by the chart itself" $at) -}}{{- end -}}
{{- if has $variable.name $names -}}{{- fail (printf "%s stands twice" $at) -}}{{- end -}}
{{- if and (hasKey $variable "value") (hasKey $variable "valueFrom") -}}{{- fail (printf "%s has both value and valueFrom" $at) -}}{{- end -}}
{{- $names = append $names $variable.name -}}
{{- end -}}
{{- end -}}

{{/* (mounts, key, volumes (names), own (paths of the chart's), source (of extraVolumes)) */}}
{{- define "headroom.checkMounts" -}}
{{- $given := . -}}
{{- $paths := list -}}
{{- range $index, $mount := .mounts -}}
{{- $at := printf "%s[%d]" $given.key $index -}}
{{- if not (has $mount.name $given.volumes) -}}{{- fail (printf "%s.name: %s is none of %s.extraVolumes" $at $mount.name $given.source) -}}{{- end -}}
{{- $path := clean $mount.mountPath | trimSuffix "/" -}}
{{- range $given.own -}}
{{- if or (hasPrefix (printf "%s/" $path) (printf "%s/" .)) (hasPrefix (printf "%s/" .) (printf "%s/" $path)) -}}
{{- fail (printf "%s.mountPath: %s covers, or lies in, %s, which the chart mounts" $at $mount.mountPath .) -}}
{{- end -}}
{{- end -}}
{{- if has $path $paths -}}{{- fail (printf "%s.mountPath: %s stands twice" $at $mount.mountPath) -}}{{- end -}}
{{- $paths = append $paths $path -}}
{{- end -}}
{{- end -}}
