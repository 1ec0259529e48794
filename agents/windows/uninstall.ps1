#Requires -Version 5.1
<#
.SYNOPSIS
Removes Defib's agent from this machine: its tasks, its folder C:\HealthCheck and with it the key. Works unattended.
#>
[CmdletBinding()]
param([string]$Folder = 'C:\HealthCheck', [switch]$DryRun)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'

$me = New-Object System.Security.Principal.WindowsPrincipal([System.Security.Principal.WindowsIdentity]::GetCurrent())
if (-not $DryRun -and -not $me.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
    throw 'run this in PowerShell as administrator, or with -DryRun to see what it would remove'
}

function Remove-AgentTask([string]$Name) {
    if ($null -eq (Get-ScheduledTask -TaskName $Name -ErrorAction SilentlyContinue)) { return }
    Write-Output "defib: removing the task $Name"
    if ($DryRun) { return }
    Stop-ScheduledTask -TaskName $Name
    Unregister-ScheduledTask -TaskName $Name -Confirm:$false
}

Remove-AgentTask 'Defib agent'
Remove-AgentTask 'Defib agent, at shutdown'
foreach ($name in @('windows-agent.ps1', 'uninstall.ps1', 'agent.conf', 'agent.key')) {
    $file = Join-Path $Folder $name
    if (Test-Path -LiteralPath $file) {
        Write-Output "defib: removing $file"
        if (-not $DryRun) { Remove-Item -LiteralPath $file -Force }
    }
}
if ((Test-Path -LiteralPath $Folder) -and -not $DryRun -and @(Get-ChildItem -LiteralPath $Folder -Force).Count -eq 0) {
    Remove-Item -LiteralPath $Folder
}
if ($DryRun) { Write-Output 'defib: dry run: nothing was changed'; return }
Write-Output 'defib: removed. In Defib the VM goes down unless you pause or remove it there'
