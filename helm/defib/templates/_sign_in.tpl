{{/* How people sign in beside tokens. What only several values together make wrong is refused here:
the API would refuse it too, but only once its pods start. */}}

{{- define "defib.signInEnv" -}}
{{- $signIn := .Values.signIn }}
{{- $oidc := $signIn.oidc }}
{{- $proxy := $signIn.proxy }}
{{- if $oidc.issuer }}
{{- $_ := required "signIn.oidc.clientId: say how this Defib is registered at the provider" $oidc.clientId }}
{{- $_ := required "api.publicUrl: signIn.oidc needs it, as the provider sends people back there" .Values.api.publicUrl }}
{{- end }}
{{- if and (or $oidc.issuer $proxy.userHeader) (not $signIn.roles) }}
{{- fail "signIn.roles: say which groups have which role, such as [administrator=defib-admins, viewer=*]; without it nobody is let in" }}
{{- end }}
{{- if and $proxy.userHeader (not $proxy.cidrs) }}
{{- fail "signIn.proxy.cidrs: name the proxy's own networks; whoever reaches the API could send the header otherwise" }}
{{- end }}
{{- if and $proxy.groupsHeader (not $proxy.userHeader) }}
{{- fail "signIn.proxy.groupsHeader: set userHeader as well; groups alone say nothing of who asks" }}
{{- end }}
{{- range $proxy.cidrs }}
{{- if hasSuffix "/0" . }}
{{- fail (printf "signIn.proxy.cidrs: %s is everybody; name the proxy's own network" .) }}
{{- end }}
{{- end }}
{{- with $signIn.roles }}
- name: DEFIB_ROLES
  value: {{ join "; " . | quote }}
{{- end }}
{{- if $oidc.issuer }}
- name: DEFIB_OIDC_ISSUER
  value: {{ $oidc.issuer }}
- name: DEFIB_OIDC_CLIENT_ID
  value: {{ $oidc.clientId | quote }}
- name: DEFIB_OIDC_SCOPES
  value: {{ $oidc.scopes | quote }}
- name: DEFIB_OIDC_ROLE_CLAIM
  value: {{ $oidc.roleClaim | quote }}
- name: DEFIB_OIDC_NAME_CLAIM
  value: {{ $oidc.nameClaim | quote }}
- name: DEFIB_OIDC_LABEL
  value: {{ $oidc.label | quote }}
{{- if $oidc.existingSecret }}
- name: DEFIB_OIDC_CLIENT_SECRET_FILE
  value: /run/secrets/defib/oidc/secret
{{- end }}
{{- if $oidc.caSecret.name }}
- name: DEFIB_OIDC_CA_FILE
  value: /run/secrets/defib/oidc-ca/ca.crt
{{- end }}
{{- end }}
{{- if $proxy.userHeader }}
- name: DEFIB_PROXY_USER_HEADER
  value: {{ $proxy.userHeader | quote }}
{{- with $proxy.groupsHeader }}
- name: DEFIB_PROXY_GROUPS_SEPARATOR
  value: {{ $proxy.groupsSeparator | quote }}
- name: DEFIB_PROXY_GROUPS_HEADER
  value: {{ . | quote }}
{{- end }}
- name: DEFIB_PROXY_CIDRS
  value: {{ join "," $proxy.cidrs | quote }}
{{- end }}
{{- end -}}
