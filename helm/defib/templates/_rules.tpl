{{/* What the operator may do, and nothing more. docs/install.md says what each is for. */}}
{{- define "defib.rules" -}}
- apiGroups: [defib.dev]
  resources: [virtualmachines]
  verbs: [get, list, watch, create]
- apiGroups: [defib.dev]
  resources: [systemconfigs]
  verbs: [list, watch]
- apiGroups: [defib.dev]
  resources: [proxmoxclusters]
  verbs: [get, list, watch]
- apiGroups: [defib.dev]
  resources: [virtualmachines/status, systemconfigs/status, proxmoxclusters/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- define "defib.secretRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
  {{- with .Values.rbac.proxmoxSecrets }}
  resourceNames:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
