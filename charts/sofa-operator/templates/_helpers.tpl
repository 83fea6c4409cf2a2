{{/* The name of everything: the release's name, with the chart's in it. */}}
{{- define "sofa-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains "sofa-operator" .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-sofa-operator" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/*
The labels by which the pods are found. app.kubernetes.io/name is never another: the NetworkPolicies of the clusters let
the operator in by it.
*/}}
{{- define "sofa-operator.selector" -}}
app.kubernetes.io/name: sofa-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sofa-operator.labels" -}}
{{ include "sofa-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "sofa-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "sofa-operator.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{- define "sofa-operator.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* Who has the rights, for every binding. */}}
{{- define "sofa-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "sofa-operator.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* The rights in the namespaces of clusters: of a ClusterRole, or of a Role in each of them. */}}
{{- define "sofa-operator.clusterRules" -}}
# The clusters themselves. patch is for finalizers; update of finalizers lets the operator be named as owner of what it makes.
- apiGroups: [middleware.sofastack.io]
  resources: [drmclusters, registryclusters, schedulerclusters]
  verbs: [get, list, patch, watch]
- apiGroups: [middleware.sofastack.io]
  resources: [drmclusters/status, registryclusters/status, schedulerclusters/status]
  verbs: [get, patch, update]
- apiGroups: [middleware.sofastack.io]
  resources: [drmclusters/finalizers, registryclusters/finalizers, schedulerclusters/finalizers]
  verbs: [update]
# What a cluster is made of.
- apiGroups: [""]
  resources: [configmaps, serviceaccounts, services]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [create, delete, get, list, patch, watch]
# StatefulSets make pods and claims. patch lifts the scheduling gate of a blank meta and grows a claim; a healthy pod goes by
# eviction, a broken one by delete; claims are deleted with deletionPolicy: DeleteData only.
- apiGroups: [""]
  resources: [persistentvolumeclaims, pods]
  verbs: [delete, get, list, patch, watch]
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
{{- if eq .Values.operator.transport "proxy" }}
# operator.transport: proxy. The servers' management ports through the API server: reads by GET, acts by POST and PUT.
- apiGroups: [""]
  resources: [pods/proxy]
  verbs: [create, get, update]
{{- end }}
{{- if .Values.exec.enabled }}
# exec.enabled. drmdata's health, and clients' connections, are asked for in the pods. API servers before 1.35 want the right
# to get for it, later ones to create.
- apiGroups: [""]
  resources: [pods/exec]
  verbs: [create, get]
{{- end }}
# Whether a Secret that a spec names is there, and its keys. One at a time: the operator cannot list or watch them.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
# Whether a cluster's namespace is going away.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* What the schema cannot say in a clear sentence. */}}
{{- define "sofa-operator.check" -}}
{{- range $label, $_ := .Values.podLabels -}}
{{- if regexMatch "^(app\\.kubernetes\\.io|helm\\.sh)/" $label -}}
{{- fail (printf "podLabels: %s is the chart's own, and clusters let the operator in by it: remove it" $label) -}}
{{- end -}}
{{- end -}}
{{- if hasKey .Values.prometheusRule.alertLabels "severity" -}}
{{- fail "prometheusRule.alertLabels: each alert has a severity of its own: remove it, and route by alertname instead" -}}
{{- end -}}
{{- end }}
