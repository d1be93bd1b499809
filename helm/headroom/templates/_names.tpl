{{/* Names and labels. Names leave room for a pool's (at most 20 characters) within the 63 of a label. */}}
{{- define "headroom.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "headroom.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Of objects. Not of pods: the chart's version in a pod's labels would restart workers that an upgrade does not change. */}}
{{- define "headroom.labels" -}}
{{ include "headroom.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "headroom.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "headroom.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "headroom.claim" -}}
{{- default (printf "%s-model" (include "headroom.fullname" .)) .Values.model.claim.name -}}
{{- end -}}

{{/* All models as sections of the configuration: {models: [{path, dtype, name, aliases, chat_template}]}; one without a name where `models` is empty. */}}
{{- define "headroom.models" -}}
{{- $models := list -}}
{{- range .Values.models -}}
{{- $model := dict "name" .name "path" (printf "/models/%s" .directory) "dtype" (default "bf16" .dtype) -}}
{{- with .aliases -}}{{- $_ := set $model "aliases" . -}}{{- end -}}
{{- with .chatTemplate -}}{{- $_ := set $model "chat_template" (printf "/models/%s" .) -}}{{- end -}}
{{- $models = append $models $model -}}
{{- end -}}
{{- if not $models -}}
{{- $models = list (dict "path" (include "headroom.modelPath" .) "dtype" .Values.model.dtype) -}}
{{- end -}}
{{- dict "models" $models | toYaml -}}
{{- end -}}

{{- define "headroom.modelPath" -}}
{{- printf "/models/%s" (default "" .Values.model.directory) | trimSuffix "/" -}}
{{- end -}}

{{/* (root, backend) */}}
{{- define "headroom.image" -}}
{{- $image := index .root.Values.image .backend -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "headroom.schedulerAddress" -}}
{{- printf "%s-scheduler.%s.svc:7701" (include "headroom.fullname" .) .Release.Namespace -}}
{{- end -}}
