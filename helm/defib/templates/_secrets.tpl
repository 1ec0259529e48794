{{/* Secrets as files below /run/secrets/defib: they are never part of the environment, and the
kubelet brings their changes. A list of them is YAML: `as` names volume and folder, `files` maps
the Secret's keys to file names. */}}

{{- define "defib.secretMounts" -}}
{{- range . }}
- name: {{ .as }}
  mountPath: /run/secrets/defib/{{ .as }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "defib.secretVolumes" -}}
{{- range . }}
- name: {{ .as }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
      {{- range .files }}
      - key: {{ .key }}
        path: {{ .path }}
      {{- end }}
{{- end }}
{{- end -}}

{{- define "defib.apiSecrets" -}}
{{- with .Values.redis }}
{{- if .existingSecret }}
- {as: redis, secret: {{ .existingSecret | quote }}, files: [{key: {{ .secretKey | quote }}, path: url}]}
{{- end }}
{{- if .caSecret.name }}
- {as: redis-ca, secret: {{ .caSecret.name | quote }}, files: [{key: {{ .caSecret.key | quote }}, path: ca.crt}]}
{{- end }}
{{- end }}
{{- with .Values.api.tls }}
{{- if .existingSecret }}
- {as: tls, secret: {{ .existingSecret | quote }}, files: [{key: {{ .certKey | quote }}, path: tls.crt}, {key: {{ .keyKey | quote }}, path: tls.key}]}
{{- end }}
{{- end }}
{{- with .Values.signIn.oidc }}
{{- if and .issuer .existingSecret }}
- {as: oidc, secret: {{ .existingSecret | quote }}, files: [{key: {{ .secretKey | quote }}, path: secret}]}
{{- end }}
{{- if and .issuer .caSecret.name }}
- {as: oidc-ca, secret: {{ .caSecret.name | quote }}, files: [{key: {{ .caSecret.key | quote }}, path: ca.crt}]}
{{- end }}
{{- end }}
{{- include "defib.tracingSecrets" . }}
{{- end -}}

{{- define "defib.tracingSecrets" -}}
{{- with .Values.tracing }}
{{- if and .url .existingSecret }}
- {as: tracing, secret: {{ .existingSecret | quote }}, files: [{key: {{ .secretKey | quote }}, path: headers}]}
{{- end }}
{{- if and .url .caSecret.name }}
- {as: tracing-ca, secret: {{ .caSecret.name | quote }}, files: [{key: {{ .caSecret.key | quote }}, path: ca.crt}]}
{{- end }}
{{- end }}
{{- end -}}

{{- define "defib.tracingEnv" -}}
{{- with .Values.tracing }}
{{- if .url }}
- name: DEFIB_TRACING_URL
  value: {{ .url }}
- name: DEFIB_TRACING_RATIO
  value: {{ .ratio | quote }}
{{- if .existingSecret }}
- name: DEFIB_TRACING_HEADERS_FILE
  value: /run/secrets/defib/tracing/headers
{{- end }}
{{- if .caSecret.name }}
- name: DEFIB_TRACING_CA_FILE
  value: /run/secrets/defib/tracing-ca/ca.crt
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "defib.relaySecrets" -}}
{{- with .Values.relay }}
- {as: relay, secret: {{ .existingSecret | quote }}, files: [{key: {{ .secretKey | quote }}, path: token}]}
{{- if .apiCaSecret.name }}
- {as: relay-ca, secret: {{ .apiCaSecret.name | quote }}, files: [{key: {{ .apiCaSecret.key | quote }}, path: ca.crt}]}
{{- end }}
{{- end }}
{{- end -}}
