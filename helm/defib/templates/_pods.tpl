{{/* What all pods have in common. Everything fits Pod Security "restricted". */}}

{{- define "defib.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "defib.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- define "defib.pull" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Where the database is: secrets are files, and never part of the environment. */}}
{{- define "defib.databaseEnv" -}}
- name: DEFIB_DATABASE_URL_FILE
  value: /run/secrets/defib/database/url
- name: DEFIB_NAMESPACE
  value: {{ .Release.Namespace }}
- name: DEFIB_LOG_LEVEL
  value: {{ .Values.log.level }}
- name: DEFIB_LOG_FORMAT
  value: {{ .Values.log.format }}
{{- with .Values.database.sslMode }}
- name: PGSSLMODE
  value: {{ . }}
{{- end }}
{{- if .Values.database.caSecret.name }}
- name: PGSSLROOTCERT
  value: /run/secrets/defib/database-ca/ca.crt
{{- end }}
{{- end -}}

{{- define "defib.databaseMounts" -}}
- name: database
  mountPath: /run/secrets/defib/database
  readOnly: true
{{- if .Values.database.caSecret.name }}
- name: database-ca
  mountPath: /run/secrets/defib/database-ca
  readOnly: true
{{- end }}
- name: tmp
  mountPath: /tmp
{{- end -}}

{{- define "defib.databaseVolumes" -}}
- name: database
  secret:
    secretName: {{ .Values.database.existingSecret }}
    defaultMode: 0440
    items:
      - key: {{ .Values.database.secretKey }}
        path: url
{{- if .Values.database.caSecret.name }}
- name: database-ca
  secret:
    secretName: {{ .Values.database.caSecret.name }}
    defaultMode: 0440
    items:
      - key: {{ .Values.database.caSecret.key }}
        path: ca.crt
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end -}}

{{- define "defib.placing" -}}
{{- $part := index .root.Values .component -}}
{{- with $part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if $part.topologySpreadConstraints }}
  {{- toYaml $part.topologySpreadConstraints | nindent 2 }}
{{- else }}
  {{- $selector := include "defib.selector" . }}
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}
