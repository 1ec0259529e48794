#Requires -Version 5.1
<#
.SYNOPSIS
Installs or upgrades Defib's agent for Windows as C:\HealthCheck\windows-agent.ps1, run by a scheduled task as LOCAL SERVICE.
.DESCRIPTION
The API serves this file at /install.ps1 with its own address, the agent's checksum and, where the request carried one, the
enrolment token filled in. It asks nothing, so it works unattended, as SYSTEM and on Server Core. Running it again upgrades.
With DEFIB_AGENT_SOURCED=1 in the environment it only defines its functions, so that tests can call them.
.PARAMETER From
Take windows-agent.ps1 and uninstall.ps1 from this folder instead of the server.
.PARAMETER KeyFile
A file with the agent's key, where no enrolment token is used.
.PARAMETER CaFile
A certificate authority (PEM or DER) to add to the machine's trusted roots.
#>
[CmdletBinding()]
param(
    [string]$Url = '',
    [string]$From = '',
    [string]$KeyFile = '',
    [string]$CaFile = '',
    [string]$Vmid = '',
    [string]$Folder = 'C:\HealthCheck',
    [switch]$ReEnrol,
    [switch]$NoStart,
    [switch]$Uninstall,
    [switch]$DryRun
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$Server = '@SERVER@'
$EnrolmentToken = '@ENROLMENT_TOKEN@'
$AgentSha256 = '@AGENT_SHA256@'
$Uninstaller = @'
@UNINSTALL@
'@
# The account: built in, few rights, no password. SYSTEM, Administrators and LOCAL SERVICE by their numbers, as names are translated.
$System, $Administrators, $LocalService = 'S-1-5-18', 'S-1-5-32-544', 'S-1-5-19'
$TaskName, $ShutdownTaskName = 'Defib agent', 'Defib agent, at shutdown'

# Not by #Requires, which counts in files only: this text mostly comes over the network. A dry run needs no rights.
function Test-Administrator {
    $me = New-Object System.Security.Principal.WindowsPrincipal([System.Security.Principal.WindowsIdentity]::GetCurrent())
    $me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)
}

# Windows PowerShell on an old .NET would offer TLS 1.0 only; where the system chooses (0), it is left to choose.
function Enable-Tls12 {
    $now = [System.Net.ServicePointManager]::SecurityProtocol
    if ([int]$now -ne 0) { [System.Net.ServicePointManager]::SecurityProtocol = $now -bor [System.Net.SecurityProtocolType]::Tls12 }
}

function Write-Step([string]$Text) { Write-Output "defib: $Text" }

function Get-FilledIn([string]$Value) { if ($Value.StartsWith('@')) { '' } else { $Value } }

function Get-ServerAddress {
    $address = $Url
    if ($address -eq '') { $address = Get-FilledIn $Server }
    if ($address -notmatch '^https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~/-]*)?$') { throw 'where is the Defib server? Give -Url https://defib.example.com' }
    $address.TrimEnd('/')
}

function Get-AgentText([string]$Address) {
    if ($From -ne '') { return [System.IO.File]::ReadAllText((Join-Path $From 'windows-agent.ps1')) }
    $client = New-Object System.Net.WebClient
    $client.Encoding = [System.Text.Encoding]::UTF8
    try { $client.DownloadString("$Address/agent/windows-agent.ps1") } finally { $client.Dispose() }
}

function Get-Sha256([string]$Text) {
    $sha = [System.Security.Cryptography.SHA256]::Create()
    try { ([System.BitConverter]::ToString($sha.ComputeHash([System.Text.Encoding]::UTF8.GetBytes($Text))) -replace '-', '').ToLowerInvariant() } finally { $sha.Dispose() }
}

function Get-UninstallText {
    if ($From -ne '') { return [System.IO.File]::ReadAllText((Join-Path $From 'uninstall.ps1')) }
    $Uninstaller
}

# Only SYSTEM and Administrators may write here; the agent's account may read.
function Set-Private([string]$Path, [bool]$IsFolder) {
    $acl = Get-Acl -LiteralPath $Path
    $acl.SetAccessRuleProtection($true, $false)
    foreach ($rule in @($acl.Access)) { [void]$acl.RemoveAccessRule($rule) }
    $inherit = 'None'
    if ($IsFolder) { $inherit = 'ContainerInherit,ObjectInherit' }
    foreach ($pair in @(@($System, 'FullControl'), @($Administrators, 'FullControl'), @($LocalService, 'ReadAndExecute'))) {
        $sid = New-Object System.Security.Principal.SecurityIdentifier($pair[0])
        $rule = New-Object System.Security.AccessControl.FileSystemAccessRule($sid, $pair[1], $inherit, 'None', 'Allow')
        $acl.AddAccessRule($rule)
    }
    Set-Acl -LiteralPath $Path -AclObject $acl
}

function Write-File([string]$Name, [string]$Text) {
    $path = Join-Path $Folder $Name
    if ((Test-Path -LiteralPath $path) -and [System.IO.File]::ReadAllText($path) -ceq $Text) { return }
    Write-Step "writing $path"
    if ($DryRun) { return }
    [System.IO.File]::WriteAllText($path, $Text, (New-Object System.Text.UTF8Encoding($false)))
    Set-Private $path $false
}

function Get-Enrolment([string]$Address, [string]$Token) {
    $body = @{ hostname = [System.Net.Dns]::GetHostName(); smbiosUuid = [string](Get-CimInstance -ClassName Win32_ComputerSystemProduct).UUID }
    if ($Vmid -ne '') { $body.vmid = $Vmid }
    try {
        $answer = Invoke-WebRequest -UseBasicParsing -Method Post -Uri "$Address/api/enroll" -Headers @{ 'X-Enrolment-Token' = $Token } -ContentType 'application/json' -Body (ConvertTo-Json $body -Compress)
    } catch {
        throw "enrolment at $Address was refused: $($_.Exception.Message) $($_.ErrorDetails). 401: the token is unknown, expired or used up. 409: another machine reports with this VM's key; revoke it first"
    }
    # vmId and vmid are one name to PowerShell's JSON reader, so that it refuses this answer: the texts are cut out.
    $text = [string]$answer.Content
    if ($text -cnotmatch '"token"\s*:\s*"([A-Za-z0-9._~+/=-]+)"') { throw "the answer to the enrolment names no key; is $Address Defib's address?" }
    $enrolled = @{ Token = $Matches[1]; Id = ''; Number = '' }
    if ($text -cmatch '"vmId"\s*:\s*"([A-Za-z0-9_]+)"') { $enrolled.Id = $Matches[1] }
    if ($text -cmatch '"vmid"\s*:\s*"?([0-9]+)') { $enrolled.Number = $Matches[1] }
    $enrolled
}

function Get-Setting([string]$Address, [hashtable]$Enrolled) {
    $lines = New-Object System.Collections.ArrayList
    $path = Join-Path $Folder 'agent.conf'
    if (Test-Path -LiteralPath $path) {
        foreach ($line in @(Get-Content -LiteralPath $path)) { if ($line -notmatch '^DEFIB_URL=') { [void]$lines.Add($line) } }
    }
    $wanted = [ordered]@{ DEFIB_VMID = $Vmid }
    if ($null -ne $Enrolled) {
        $wanted.DEFIB_VM = $Enrolled.Id
        if ($Vmid -eq '') { $wanted.DEFIB_VMID = $Enrolled.Number }
    }
    foreach ($name in $wanted.Keys) {
        if ([string]$wanted[$name] -eq '') { continue }
        for ($i = $lines.Count - 1; $i -ge 0; $i--) { if ($lines[$i] -match "^$name=") { $lines.RemoveAt($i) } }
        [void]$lines.Add("$name=$($wanted[$name])")
    }
    [void]$lines.Add("DEFIB_URL=$Address")
    ($lines -join "`r`n") + "`r`n"
}

function Get-AgentArgument([string]$Arguments) {
    $agent = Join-Path $Folder 'windows-agent.ps1'
    "-NoProfile -NonInteractive -ExecutionPolicy Bypass -File `"$agent`" $Arguments".Trim()
}

function Register-Agent {
    $powershell = Join-Path $env:SystemRoot 'System32\WindowsPowerShell\v1.0\powershell.exe'
    $principal = New-ScheduledTaskPrincipal -UserId $LocalService -LogonType ServiceAccount -RunLevel Limited
    # For ever, started again within a minute when it ends, on battery as well: a silent agent looks like a dead VM.
    $settings = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries -StartWhenAvailable -ExecutionTimeLimit ([TimeSpan]::Zero) -RestartCount 999 -RestartInterval ([TimeSpan]::FromMinutes(1)) -MultipleInstances IgnoreNew
    $atBoot = New-ScheduledTaskTrigger -AtStartup
    $again = New-ScheduledTaskTrigger -Once -At (Get-Date) -RepetitionInterval ([TimeSpan]::FromMinutes(1))
    $action = New-ScheduledTaskAction -Execute $powershell -Argument (Get-AgentArgument '')
    [void](Register-ScheduledTask -TaskName $TaskName -Action $action -Trigger @($atBoot, $again) -Principal $principal -Settings $settings -Force)
    # Windows ends tasks at a shutdown without a word. Event 1074 says that one was asked for: then one last report goes out.
    $class = Get-CimClass -ClassName MSFT_TaskEventTrigger -Namespace Root/Microsoft/Windows/TaskScheduler
    $atShutdown = New-CimInstance -CimClass $class -ClientOnly
    $atShutdown.Enabled = $true
    $atShutdown.Subscription = '<QueryList><Query Id="0" Path="System"><Select Path="System">*[System[Provider[@Name=''User32''] and EventID=1074]]</Select></Query></QueryList>'
    $last = New-ScheduledTaskAction -Execute $powershell -Argument (Get-AgentArgument '-Stopping')
    [void](Register-ScheduledTask -TaskName $ShutdownTaskName -Action $last -Trigger $atShutdown -Principal $principal -Settings $settings -Force)
}

function Install-Agent {
    if (-not $DryRun -and -not (Test-Administrator)) { throw 'run this in PowerShell as administrator, or with -DryRun to see what it would do' }
    Enable-Tls12
    $address = Get-ServerAddress
    $text = Get-AgentText $address
    $found = Get-Sha256 $text
    $promised = Get-FilledIn $AgentSha256
    if ($promised -ne '' -and $From -eq '' -and $found -ne $promised) { throw "the agent that arrived is not the one the server promised: SHA-256 $found, expected $promised" }
    Write-Step "windows-agent.ps1, SHA-256 $found"
    $keyPath = Join-Path $Folder 'agent.key'
    $token = Get-FilledIn $EnrolmentToken
    $hasKey = Test-Path -LiteralPath $keyPath
    if ($token -eq '' -and $KeyFile -eq '' -and -not $hasKey) { throw 'no key and no enrolment token: fetch this script with the header X-Enrolment-Token, or give -KeyFile' }
    if ($CaFile -ne '') {
        Write-Step "trusting the authority in $CaFile"
        if (-not $DryRun) { [void](Import-Certificate -FilePath $CaFile -CertStoreLocation Cert:\LocalMachine\Root) }
    }
    # Before anything is written, so that a token that is not taken leaves the machine as it was.
    $enrolled = $null
    $key = ''
    if ($KeyFile -ne '') {
        $key = [System.IO.File]::ReadAllText($KeyFile).Trim()
    } elseif ($token -ne '' -and ($ReEnrol -or -not $hasKey)) {
        Write-Step "enrolling at $address"
        if (-not $DryRun) {
            $enrolled = Get-Enrolment $address $token
            $key = $enrolled.Token
        }
    }
    if (-not (Test-Path -LiteralPath $Folder)) {
        Write-Step "making $Folder"
        if (-not $DryRun) { [void](New-Item -ItemType Directory -Path $Folder) }
    }
    if (-not $DryRun) { Set-Private $Folder $true }
    if ($key -ne '') { Write-File 'agent.key' ($key + "`r`n") }
    Write-File 'windows-agent.ps1' $text
    Write-File 'uninstall.ps1' (Get-UninstallText)
    Write-File 'agent.conf' (Get-Setting $address $enrolled)
    Write-Step "registering the tasks '$TaskName' and '$ShutdownTaskName'"
    if ($DryRun) { Write-Step 'dry run: nothing was changed'; return }
    Register-Agent
    if (-not $NoStart) {
        Stop-ScheduledTask -TaskName $TaskName -ErrorAction SilentlyContinue
        Start-ScheduledTask -TaskName $TaskName
    }
    Write-Step 'done. Within a minute the VM shows in Defib'
}

if ($env:DEFIB_AGENT_SOURCED -eq '1') { return }
if ($Uninstall) { & ([scriptblock]::Create((Get-UninstallText))) -Folder $Folder -DryRun:$DryRun } else { Install-Agent }
