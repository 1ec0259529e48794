{{/* Names and labels. A release called "defib" gives "defib-api"; another one "NAME-defib-api". */}}

{{- define "defib.name" -}}
{{- if .Values.nameOverride -}}
{{- .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "defib" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-defib" (.Release.Name | trunc 34 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "defib.api" -}}{{ include "defib.name" . }}-api{{- end -}}
{{- define "defib.operator" -}}{{ include "defib.name" . }}-operator{{- end -}}
{{- define "defib.relay" -}}{{ include "defib.name" . }}-relay{{- end -}}

{{/* The API as it is reached inside the cluster. */}}
{{- define "defib.apiUrl" -}}
http{{ if .Values.api.tls.existingSecret }}s{{ end }}://{{ include "defib.api" . }}.{{ .Release.Namespace }}.svc:{{ .Values.api.service.port }}
{{- end -}}

{{/* Roles and policies of the whole cluster: one for each namespace. */}}
{{- define "defib.clusterName" -}}{{ .Release.Namespace }}-{{ include "defib.name" . }}{{- end -}}

{{- define "defib.selector" -}}
app.kubernetes.io/name: defib
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "defib.labels" -}}
{{ include "defib.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: defib
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "defib.apiAccount" -}}
{{- if .Values.serviceAccounts.create -}}{{ include "defib.api" . }}
{{- else -}}{{ required "serviceAccounts.api: name the API's service account, or set serviceAccounts.create" .Values.serviceAccounts.api }}
{{- end -}}
{{- end -}}

{{- define "defib.operatorAccount" -}}
{{- if .Values.serviceAccounts.create -}}{{ include "defib.operator" . }}
{{- else -}}{{ required "serviceAccounts.operator: name the operator's service account, or set serviceAccounts.create" .Values.serviceAccounts.operator }}
{{- end -}}
{{- end -}}

{{- define "defib.image" -}}
{{ printf "%s-%s:%s" .root.Values.image.repository .part (.root.Values.image.tag | default .root.Chart.AppVersion) }}
{{- end -}}
