{{/* Not served yet: the settings come with the metrics themselves. */}}
{{- define "defib.metricsEnv" -}}
{{- end -}}

{{- define "defib.metricsPort" -}}
{{- end -}}
