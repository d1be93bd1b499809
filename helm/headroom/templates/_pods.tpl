{{/* Pod Security "restricted", and volumes that a new group need not walk through. */}}
{{- define "headroom.podSecurity" -}}
runAsNonRoot: true
{{- $ids := default dict .Values.security }}
{{- range $key := list "runAsUser" "runAsGroup" "fsGroup" }}
{{- with get $ids $key }}
{{ $key }}: {{ int64 . }}
{{- end }}
{{- end }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "headroom.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* nodeSelector and its like: (scheduling, backend). Nodes with GPUs are often tainted by the resource's name. */}}
{{- define "headroom.scheduling" -}}
{{- $scheduling := default dict .scheduling }}
{{- with $scheduling.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := default list $scheduling.tolerations }}
{{- if eq (default "cpu" .backend) "cuda" }}
{{- $tolerations = prepend $tolerations (dict "key" "nvidia.com/gpu" "operator" "Exists" "effect" "NoSchedule") }}
{{- end }}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $scheduling.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $scheduling.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $scheduling.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Of a pod that runs where others do, unless its own keys say otherwise: (own, others, backend of the others). Only nodes count, not which pods are
     there: a Job before an upgrade would wait for the very pods that are about to be replaced. */}}
{{- define "headroom.schedulingWith" -}}
{{- $scheduling := deepCopy (default dict .others) -}}
{{- $_ := set $scheduling "affinity" (pick (default dict $scheduling.affinity) "nodeAffinity") -}}
{{- $backend := .backend -}}
{{- range $key, $value := .own -}}
{{- $_ := set $scheduling $key $value -}}
{{- if eq $key "tolerations" -}}{{- $backend = "cpu" -}}{{- end -}}
{{- end -}}
{{- include "headroom.scheduling" (dict "scheduling" $scheduling "backend" $backend) -}}
{{- end -}}

{{/* Of a Job that mounts the model: where the first llm pool is, whose volume may be bound to a zone or a node: (root, own) */}}
{{- define "headroom.schedulingOfJob" -}}
{{- $pool := (include "headroom.pools" .root | fromYaml).pools | first -}}
{{- include "headroom.schedulingWith" (dict "own" .own "others" $pool.scheduling "backend" $pool.backend) -}}
{{- end -}}

{{/* Room for preStop and the drain, half of it again and ten seconds: a drain that is over ends the pod, so a long grace costs nothing. */}}
{{- define "headroom.graceSeconds" -}}
{{- add (int .preStopSeconds) (int .drainSeconds) (div (add (int .drainSeconds) 1) 2) 10 -}}
{{- end -}}

{{/* ConfigMap, Deployment and PodDisruptionBudget of a service.
     root, name (suffix of object names), values (the component's own) and key (their path), component, command, port, metricsPort, config (text), arguments,
     replicas, drainSeconds, requests, limits, surge or recreate; pool, preStopSeconds, startup {service, seconds}, backend, model (mounted), shmBytes,
     spread (topology keys) */}}
{{- define "headroom.workload" -}}
{{- $root := .root -}}
{{- $fullname := printf "%s-%s" (include "headroom.fullname" $root) .name -}}
{{- $cuda := eq (default "cpu" .backend) "cuda" -}}
{{- $grace := include "headroom.graceSeconds" (dict "preStopSeconds" (default 0 .preStopSeconds) "drainSeconds" .drainSeconds) | int -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $fullname }}
  labels:
    {{- include "headroom.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
data:
  headroom.yaml: |
    {{- .config | nindent 4 }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $fullname }}
  labels:
    {{- include "headroom.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with .pool }}
    headroom/pool: {{ . }}
    {{- end }}
    {{- with .values.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .values.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  replicas: {{ int .replicas }}
  # Counts from when the pod is made: a worker that reads weights for long is no failure.
  progressDeadlineSeconds: {{ add (int .startup.seconds) $grace 300 }}
  strategy:
    {{- if .recreate }}
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate:
      maxSurge: {{ .surge }}
      maxUnavailable: {{ ternary 1 0 (eq (int .surge) 0) }}
    {{- end }}
  selector:
    matchLabels:
      {{- include "headroom.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
      {{- with .pool }}
      headroom/pool: {{ . }}
      {{- end }}
  template:
    metadata:
      labels:
        {{- include "headroom.selector" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
        {{- with .pool }}
        headroom/pool: {{ . }}
        {{- end }}
        {{- with include "headroom.podLabels" . }}
        {{- . | nindent 8 }}
        {{- end }}
      annotations:
        headroom/config-sha256: {{ .config | sha256sum }}
        {{- with include "headroom.podAnnotations" . }}
        {{- . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "headroom.serviceAccount" $root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      terminationGracePeriodSeconds: {{ $grace }}
      securityContext:
        {{- include "headroom.podSecurity" $root | nindent 8 }}
      {{- with include "headroom.scheduling" (dict "scheduling" .values.scheduling "backend" .backend) | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- if gt (int .replicas) 1 }}
      topologySpreadConstraints:
        {{- range .spread }}
        - topologyKey: {{ . }}
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "headroom.selector" $root | nindent 14 }}
              app.kubernetes.io/component: {{ $.component }}
              {{- with $.pool }}
              headroom/pool: {{ . }}
              {{- end }}
          matchLabelKeys: [pod-template-hash]
        {{- end }}
      {{- end }}
      {{- with include "headroom.initContainers" . }}
      initContainers:
        {{- . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .command }}
          image: {{ include "headroom.image" (dict "root" $root "backend" (default "cpu" .backend)) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          # A start that is refused (no driver, a plan that does not fit) says why in `kubectl describe pod`.
          terminationMessagePolicy: FallbackToLogsOnError
          command: [{{ .command }}]
          args:
            - --config=/etc/headroom/headroom.yaml
            {{- range .arguments }}
            - --set={{ . }}
            {{- end }}
          env:
            - name: POD_NAME
              valueFrom:
                fieldRef:
                  fieldPath: metadata.name
            - name: POD_IP
              valueFrom:
                fieldRef:
                  fieldPath: status.podIP
            {{- if $cuda }}
            # The driver keeps compiled kernels below it.
            - name: HOME
              value: /tmp
            {{- end }}
            {{- with .values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            - name: grpc
              containerPort: {{ .port }}
            - name: metrics
              containerPort: {{ .metricsPort }}
          securityContext:
            {{- include "headroom.containerSecurity" $root | nindent 12 }}
          startupProbe:
            grpc:
              port: {{ .port }}
              {{- with .startup.service }}
              service: {{ . }}
              {{- end }}
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: {{ div (add (int .startup.seconds) 4) 5 }}
          # "" is whether this pod should get requests; "live" only whether the process still answers, whatever its peers do.
          readinessProbe:
            grpc:
              port: {{ .port }}
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 2
          livenessProbe:
            grpc:
              port: {{ .port }}
              service: live
            periodSeconds: 10
            timeoutSeconds: 10
            failureThreshold: 6
          {{- if .preStopSeconds }}
          lifecycle:
            preStop:
              sleep:
                seconds: {{ int .preStopSeconds }}
          {{- end }}
          resources:
            requests:
              {{- toYaml .requests | nindent 14 }}
            limits:
              {{- toYaml .limits | nindent 14 }}
          volumeMounts:
            - name: config
              mountPath: /etc/headroom
              readOnly: true
            {{- if .model }}
            - name: model
              mountPath: /models
              readOnly: true
            {{- end }}
            {{- if $cuda }}
            - name: tmp
              mountPath: /tmp
            {{- end }}
            {{- if .shmBytes }}
            - name: shm
              mountPath: /dev/shm
            {{- end }}
            {{- with .values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: config
          configMap:
            name: {{ $fullname }}
        {{- if .model }}
        - name: model
          {{- include "headroom.modelVolume" $root | nindent 10 }}
        {{- end }}
        {{- if $cuda }}
        - name: tmp
          emptyDir:
            sizeLimit: 1Gi
        {{- end }}
        {{- with .shmBytes }}
        - name: shm
          emptyDir:
            medium: Memory
            sizeLimit: {{ include "headroom.quantity" . }}
        {{- end }}
        {{- with include "headroom.extraVolumes" . }}
        {{- . | nindent 8 }}
        {{- end }}
{{- if and $root.Values.podDisruptionBudgets.enabled (gt (int .replicas) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $fullname }}
  labels:
    {{- include "headroom.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "headroom.selector" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
      {{- with .pool }}
      headroom/pool: {{ . }}
      {{- end }}
{{- end }}
{{- end -}}
