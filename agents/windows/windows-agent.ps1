#Requires -Version 5.1
<#
.SYNOPSIS
Defib's agent for Windows: reports this VM's figures to the Defib API, every 30 seconds.
.DESCRIPTION
Windows PowerShell 5.1 or PowerShell 7, and nothing else. It reads, sends and waits; it changes nothing on this machine
and never shows its key. What it sends, and what it does on each answer, is written down in PROTOCOL.md.
Dot-sourced with DEFIB_AGENT_SOURCED=1 in the environment it only defines its functions, so that tests can call them.
.PARAMETER Config
The settings: KEY=value lines, never executed.
.PARAMETER Once
Send one report and exit: 0 accepted, 1 not. CPU is measured over one second.
.PARAMETER DryRun
Print the report that would be sent, and send nothing.
.PARAMETER Stopping
Send the report that says the machine is going down; the task that Windows runs at a shutdown uses it.
#>
[CmdletBinding()]
param(
    [string]$Config = (Join-Path $PSScriptRoot 'agent.conf'),
    [switch]$Once,
    [switch]$DryRun,
    [switch]$Stopping,
    [switch]$Version
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'

$AgentVersion = '0.1.0'
$NoUuid = @('00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff')
$KeptMost = 120

# ---- What this machine says, one small function each; a figure that cannot be had is $null, and left out.

function Read-CpuCounter {
    $row = Get-CimInstance -ClassName Win32_PerfRawData_PerfOS_Processor -Filter "Name='_Total'" -OperationTimeoutSec 5
    # The class counts idle time, in 100 ns, and the time itself.
    @{ Idle = [double]$row.PercentProcessorTime; All = [double]$row.Timestamp_Sys100NS }
}

function Read-Memory {
    $row = Get-CimInstance -ClassName Win32_OperatingSystem -OperationTimeoutSec 5
    @{ TotalKb = [long]$row.TotalVisibleMemorySize; AvailableKb = [long]$row.FreePhysicalMemory }
}

function Read-Disk {
    # Fixed drives only: a network share that hangs must not hang the agent.
    Get-CimInstance -ClassName Win32_LogicalDisk -Filter 'DriveType=3' -OperationTimeoutSec 5 |
        Where-Object { $_.Size -gt 1048576 } |
        ForEach-Object { @{ Name = [string]$_.DeviceID; Size = [long]$_.Size; Free = [long]$_.FreeSpace } }
}

function Read-SystemDrive { $env:SystemDrive }

function Read-Uptime { [long]([System.Diagnostics.Stopwatch]::GetTimestamp() / [System.Diagnostics.Stopwatch]::Frequency) }

function Read-BootId {
    # Windows counts its boots where the prefetcher is on; else the time of the boot has to do.
    $path = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters'
    $counted = Get-ItemProperty -Path $path -Name BootId -ErrorAction SilentlyContinue
    if ($null -ne $counted) { return "boot-$($counted.BootId)" }
    $booted = (Get-CimInstance -ClassName Win32_OperatingSystem -OperationTimeoutSec 5).LastBootUpTime
    'booted-' + $booted.ToUniversalTime().ToString('yyyyMMddHHmm')
}

function Read-SmbiosUuid { [string](Get-CimInstance -ClassName Win32_ComputerSystemProduct -OperationTimeoutSec 5).UUID }

function Read-ComputerName { [System.Net.Dns]::GetHostName() }

function Read-UnixTime { [DateTimeOffset]::UtcNow.ToUnixTimeSeconds() }

function Read-KeyRule([string]$Path) {
    (Get-Acl -LiteralPath $Path).GetAccessRules($true, $true, [System.Security.Principal.SecurityIdentifier]) |
        Where-Object { $_.AccessControlType -eq 'Allow' } |
        ForEach-Object { $_.IdentityReference.Value }
}

function Wait-Second([double]$Seconds) { Start-Sleep -Milliseconds ([int]($Seconds * 1000)) }

function Get-Draw([int]$Below) { Get-Random -Minimum 0 -Maximum $Below }

function Write-Said([string]$Text) { [Console]::Error.WriteLine("defib-agent: $Text") }

function Send-Json([string]$Address, [string]$Key, [string]$Json) {
    $content = New-Object System.Net.Http.StringContent($Json, [System.Text.Encoding]::UTF8, 'application/json')
    $request = New-Object System.Net.Http.HttpRequestMessage([System.Net.Http.HttpMethod]::Post, $Address)
    $request.Content = $content
    [void]$request.Headers.TryAddWithoutValidation('X-API-Key', $Key)
    [void]$request.Headers.TryAddWithoutValidation('User-Agent', "defib-agent/$AgentVersion")
    try {
        $answer = (Get-HttpClient).SendAsync($request).GetAwaiter().GetResult()
        $text = $answer.Content.ReadAsStringAsync().GetAwaiter().GetResult()
        $after = ''
        if ($answer.Headers.Contains('Retry-After')) { $after = [string]($answer.Headers.GetValues('Retry-After') | Select-Object -First 1) }
        @{ Code = [int]$answer.StatusCode; RetryAfter = $after; Said = $text.Substring(0, [Math]::Min(8192, $text.Length)) }
    } catch {
        $cause = $_.Exception
        while ($null -ne $cause.InnerException) { $cause = $cause.InnerException }
        @{ Code = 0; RetryAfter = ''; Said = $cause.Message }
    } finally {
        $request.Dispose()
    }
}

function Get-HttpClient {
    if ($null -eq $script:Client) {
        if ($PSVersionTable.PSVersion.Major -lt 6) {
            Add-Type -AssemblyName System.Net.Http
            # 5.1 on an old .NET would offer TLS 1.0 only; where the system chooses (0), it is left to choose.
            $now = [System.Net.ServicePointManager]::SecurityProtocol
            if ([int]$now -ne 0) { [System.Net.ServicePointManager]::SecurityProtocol = $now -bor [System.Net.SecurityProtocolType]::Tls12 }
        }
        $handler = New-Object System.Net.Http.HttpClientHandler
        $handler.AllowAutoRedirect = $false # the key goes where it was meant to
        $script:Client = New-Object System.Net.Http.HttpClient($handler)
        $script:Client.Timeout = [TimeSpan]::FromSeconds(10)
        $script:Client.MaxResponseContentBufferSize = 65536 # an answer without end is left
    }
    $script:Client
}
$script:Client = $null

# ---- Settings

function Get-DefaultSetting {
    @{ DEFIB_URL = ''; DEFIB_KEY_FILE = (Join-Path $PSScriptRoot 'agent.key'); DEFIB_VMID = ''; DEFIB_NODE = ''
        DEFIB_HOSTNAME = ''; DEFIB_INTERVAL = '30'; DEFIB_VM = '' }
}

function Read-Setting([string[]]$Lines) {
    $settings = Get-DefaultSetting
    $number = 0
    foreach ($line in $Lines) {
        $number++
        $text = $line.Trim()
        if ($text -eq '' -or $text.StartsWith('#')) { continue }
        $name, $value = $text -split '=', 2
        if ($null -eq $value -or -not $settings.ContainsKey($name.Trim())) {
            Write-Said "agent.conf, line ${number}: not a setting, ignored"
            continue
        }
        $settings[$name.Trim()] = $value.Trim().Trim('"', "'")
    }
    $settings
}

function Test-Setting([hashtable]$Settings, [string]$Uuid) {
    if ($Settings.DEFIB_URL -notmatch '^https?://[^\s"\\@?#]+$') { return "DEFIB_URL must be the API's address, such as https://defib.example.com" }
    if ($Settings.DEFIB_VMID -ne '' -and $Settings.DEFIB_VMID -notmatch '^[1-9][0-9]{2,8}$') { return "DEFIB_VMID must be this VM's number in Proxmox (100 or more)" }
    if ($Settings.DEFIB_INTERVAL -notmatch '^[0-9]{1,3}$' -or [int]$Settings.DEFIB_INTERVAL -lt 1 -or [int]$Settings.DEFIB_INTERVAL -gt 120) { return 'DEFIB_INTERVAL must be 1 to 120 seconds' }
    if ($Settings.DEFIB_VMID -eq '' -and $Settings.DEFIB_VM -eq '' -and $Uuid -eq '') { return "nothing says which VM this is: set DEFIB_VMID to its number in Proxmox" }
    ''
}

function Read-Key([string]$Path) {
    # Everyone, Authenticated Users, Users: none of them may read the key.
    foreach ($sid in @(Read-KeyRule $Path)) {
        if (@('S-1-1-0', 'S-1-5-11', 'S-1-5-32-545') -contains $sid) { throw "others can read ${Path}; run install.ps1 again" }
    }
    $key = [string](Get-Content -LiteralPath $Path -TotalCount 1)
    if ($key.Trim() -notmatch '^[!#-\[\]-~]+$') { throw "the first line of $Path is not a key" }
    $key.Trim()
}

# ---- The report

function New-State([hashtable]$Settings, [string]$Uuid) {
    @{ Settings = $Settings; Uuid = $Uuid; Interval = [int]$Settings.DEFIB_INTERVAL; Key = ''; Cpu = $null; Sample = $null
        SampledAt = 0; Failures = 0; Trouble = ''; Warned = @{}; Kept = New-Object System.Collections.ArrayList
        KeptLast = 0; Keeping = $true; NewSample = $null; Batch = 30; Phase = 0; Wait = 1 }
}

function Get-Figure([hashtable]$State, [string]$Name, [scriptblock]$Read) {
    try { & $Read } catch {
        if (-not $State.Warned.ContainsKey($Name)) {
            $State.Warned[$Name] = $true
            Write-Said "$Name is left out: $($_.Exception.Message)"
        }
        $null
    }
}

function Get-CpuPercent([hashtable]$Before, [hashtable]$After) {
    if ($null -eq $Before -or $null -eq $After -or $After.All -le $Before.All) { return $null }
    $idle = ($After.Idle - $Before.Idle) / ($After.All - $Before.All)
    [Math]::Round(100 * (1 - [Math]::Min(1, [Math]::Max(0, $idle))), 1)
}

function Get-WorstDisk([object[]]$Disks, [string]$System) {
    $fullest = $Disks | Sort-Object { ($_.Size - $_.Free) / $_.Size } -Descending | Select-Object -First 1
    if ($null -ne $fullest -and $fullest.Name -ne $System) { $fullest }
}

function Get-Uuid([string]$Said) {
    $uuid = $Said.Trim().ToLowerInvariant()
    if ($uuid -match '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' -and $NoUuid -notcontains $uuid) { return $uuid }
    ''
}

function New-Report([hashtable]$State, [string]$Status) {
    $report = [ordered]@{ hostname = $State.Settings.DEFIB_HOSTNAME }
    if ($report.hostname -eq '') { $report.hostname = Read-ComputerName }
    if ($State.Settings.DEFIB_VMID -ne '') { $report.vmid = $State.Settings.DEFIB_VMID }
    if ($State.Settings.DEFIB_NODE -ne '') { $report.node = $State.Settings.DEFIB_NODE }
    $report.status = $Status
    Add-Figure $State $report
    $report.timestamp = Read-UnixTime
    $boot = Get-Figure $State 'bootId' { Read-BootId }
    if ($null -ne $boot) { $report.bootId = $boot }
    if ($State.Uuid -ne '') { $report.smbiosUuid = $State.Uuid }
    $report.agentVersion = $AgentVersion
    $report
}

function Add-Figure([hashtable]$State, [System.Collections.IDictionary]$Report) {
    $sample = Get-Figure $State 'cpuUsage' { Read-CpuCounter }
    $State.Cpu = Get-CpuPercent $State.Sample $sample
    if ($null -ne $State.Cpu) { $Report.cpuUsage = $State.Cpu }
    $State.NewSample = $sample
    $memory = Get-Figure $State 'ramUsage' { Read-Memory }
    if ($null -ne $memory) {
        $Report.ramUsage = [long][Math]::Floor(($memory.TotalKb - $memory.AvailableKb) / 1024)
        $Report.ramTotal = [long][Math]::Floor($memory.TotalKb / 1024)
    }
    $disks = @(Get-Figure $State 'diskUsage' { Read-Disk } | Where-Object { $null -ne $_ })
    $system = Read-SystemDrive
    foreach ($disk in $disks) { if ($disk.Name -eq $system) { Add-Disk $Report 'diskUsage' 'diskTotal' $disk } }
    $worst = Get-WorstDisk $disks $system
    if ($null -ne $worst) {
        $Report.worstDisk = $worst.Name
        Add-Disk $Report 'worstDiskUsage' 'worstDiskTotal' $worst
    }
    $Report.uptime = Read-Uptime
}

function Add-Disk([System.Collections.IDictionary]$Report, [string]$Used, [string]$Total, [hashtable]$Disk) {
    $Report[$Used] = [long][Math]::Floor(($Disk.Size - $Disk.Free) / 1048576)
    $Report[$Total] = [long][Math]::Floor($Disk.Size / 1048576)
}

# ---- The answers: what to do next, as PROTOCOL.md has it

function Get-Phase([string]$Who, [int]$Interval) {
    $hash = [long]5381
    foreach ($character in $Who.ToCharArray()) { $hash = ($hash * 33 + [int]$character) % 1000003 }
    [int]($hash % $Interval)
}

function Get-NextSlot([hashtable]$State, [long]$Now) {
    $drawn = Get-Draw ([int][Math]::Floor($State.Interval / 10) + 1)
    $State.Interval - (($Now - $State.Phase + $State.Interval) % $State.Interval) + $drawn
}

function Get-BackOff([hashtable]$State) {
    # Full jitter: 1 to 2, 4, 8 ... interval seconds, drawn evenly.
    $most = [int][Math]::Min($State.Interval, [Math]::Pow(2, [Math]::Min(10, $State.Failures)))
    1 + (Get-Draw $most)
}

function Get-RetryAfter([string]$Header) {
    if ($Header -eq '') { return 0 }
    if ($Header -match '^[0-9]{1,3}$' -and [int]$Header -le 120) { return [int]$Header }
    120
}

function Test-Accepted([hashtable]$Answer) { $Answer.Code -eq 200 -and $Answer.Said -match '"success"\s*:\s*true' }

function Set-Wait([hashtable]$State, [hashtable]$Answer, [long]$Now) {
    $State.Failures++
    $code = $Answer.Code
    if (Test-Accepted $Answer) { Set-Accepted $State $Now; return }
    if ($code -eq 401 -or $code -eq 403) {
        # Once a minute, for ever: a refused report still proves that this VM lives.
        $State.Wait = 60 + (Get-Draw 6)
        Write-Trouble $State $Answer "the server refuses the key in $($State.Settings.DEFIB_KEY_FILE) ($code):"
    } elseif ($code -eq 429 -or $code -eq 503) {
        $State.Wait = (Get-BackOff $State) + (Get-RetryAfter $Answer.RetryAfter)
        Write-Trouble $State $Answer "the server cannot take reports now ($code):"
    } elseif ($code -ge 400 -and $code -lt 500) {
        $State.Wait = Get-NextSlot $State $Now
        Write-Trouble $State $Answer "the server refuses the report ($code):"
    } else {
        $State.Wait = Get-BackOff $State
        $words = "the server failed ($code):"
        if ($code -eq 0) { $words = "cannot reach $($State.Settings.DEFIB_URL):" }
        if ($code -ge 200 -and $code -lt 400) { $words = "the answer ($code) is not Defib's; is DEFIB_URL right?" }
        Write-Trouble $State $Answer $words
    }
}

function Set-Accepted([hashtable]$State, [long]$Now) {
    if ($State.Trouble -ne '') { Write-Said "reports are accepted again, after $($State.Failures - 1) that were not" }
    $State.Trouble = ''
    $State.Failures = 0
    $State.Wait = Get-NextSlot $State $Now
}

function Write-Trouble([hashtable]$State, [hashtable]$Answer, [string]$Words) {
    # Said when it begins, and again only when it is another trouble.
    $trouble = "$($Answer.Code) " + ($Answer.Said -split '[;)]')[0]
    if ($trouble -eq $State.Trouble) { return }
    $State.Trouble = $trouble
    $said = $Answer.Said -replace '[^\x20-\x7e]', '?'
    Write-Said "$Words $($said.Substring(0, [Math]::Min(400, $said.Length)))"
}

# ---- Through an outage: one sample an interval is kept, for an hour at 30 s; the oldest goes first

function Save-Report([hashtable]$State, [System.Collections.IDictionary]$Report) {
    $now = Read-Uptime
    if (-not $State.Keeping -or ($State.Kept.Count -gt 0 -and $now - $State.KeptLast -lt $State.Interval * 0.9)) { return }
    [void]$State.Kept.Add(@{ At = $now; Report = $Report })
    $State.KeptLast = $now
    if ($State.Kept.Count -gt $KeptMost) { $State.Kept.RemoveAt(0) }
}

function Get-Batch([hashtable]$State) {
    $now = Read-Uptime
    $reports = foreach ($one in @($State.Kept | Select-Object -First $State.Batch)) {
        $aged = [ordered]@{}
        foreach ($name in $one.Report.Keys) { $aged[$name] = $one.Report[$name] }
        $aged.ageSeconds = [Math]::Max(0, $now - $one.At)
        $aged
    }
    @{ reports = @($reports) }
}

function Remove-Kept([hashtable]$State, [int]$Count) { $State.Kept.RemoveRange(0, [Math]::Min($Count, $State.Kept.Count)) }

function Send-Kept([hashtable]$State) {
    if ($State.Kept.Count -eq 0) { return }
    $batch = Get-Batch $State
    $answer = Send-Json "$($State.Settings.DEFIB_URL)/api/health/reports" $State.Key (ConvertTo-Json $batch -Compress -Depth 4)
    switch ($answer.Code) {
        { Test-Accepted $answer } { Remove-Kept $State $batch.reports.Count; break }
        413 { if ($State.Batch -gt 1) { $State.Batch = [int][Math]::Floor($State.Batch / 2) } else { Remove-Kept $State 1 }; break }
        { @(404, 405) -contains $_ } { $State.Keeping = $false; $State.Kept.Clear(); Write-Said 'the server takes no batches: what an outage hid from it stays hidden'; break }
        { @(400, 415, 422) -contains $_ } { Remove-Kept $State $batch.reports.Count; Write-Said "the server refuses the samples kept through an outage ($_)"; break }
        default { $State.Wait = [Math]::Max($State.Wait, (Get-RetryAfter $answer.RetryAfter)) }
    }
}

# ---- The work

function Send-Report([hashtable]$State, [string]$Status) {
    $report = New-Report $State $Status
    $answer = Send-Json "$($State.Settings.DEFIB_URL)/api/health/report" $State.Key (ConvertTo-Json $report -Compress)
    $now = Read-UnixTime
    Set-Wait $State $answer $now
    if ($State.Failures -eq 0) { if ($Status -eq 'running') { Send-Kept $State } }
    elseif ($Status -eq 'running' -and ($answer.Code -eq 0 -or $answer.Code -eq 429 -or $answer.Code -ge 500)) { Save-Report $State $report }
    if (@(401, 403) -contains $answer.Code) { Update-Key $State }
    if ($State.Failures -eq 0 -or $now -lt $State.SampledAt -or $now - $State.SampledAt -ge $State.Interval) { Save-Sample $State }
}

function Update-Key([hashtable]$State) {
    try { $State.Key = Read-Key $State.Settings.DEFIB_KEY_FILE } catch { Write-Said "$($_.Exception.Message); going on with the key read before" }
}

function Save-Sample([hashtable]$State) {
    $State.Sample = $State.NewSample
    $State.SampledAt = Read-UnixTime
}

function Start-Agent([hashtable]$State) {
    $name = $State.Settings.DEFIB_HOSTNAME
    if ($name -eq '') { $name = Read-ComputerName }
    $State.Phase = Get-Phase "$($State.Uuid)/$($State.Settings.DEFIB_VMID)/$name" $State.Interval
    Write-Said "version $AgentVersion reports to $($State.Settings.DEFIB_URL) every $($State.Interval) s"
    $State.Wait = Get-NextSlot $State (Read-UnixTime)
    while ($true) {
        Wait-Second $State.Wait
        # Whatever goes wrong in one report must not end the agent: a silent agent looks like a dead VM.
        try { Send-Report $State 'running' } catch {
            $State.Failures++
            $State.Wait = Get-BackOff $State
            Write-Trouble $State @{ Code = -1; Said = $_.Exception.Message } 'this report failed:'
        }
    }
}

function Invoke-Main {
    if ($Version) { return $AgentVersion }
    $lines = @()
    if (Test-Path -LiteralPath $Config) { $lines = @(Get-Content -LiteralPath $Config) }
    $settings = Read-Setting $lines
    $settings.DEFIB_URL = $settings.DEFIB_URL.TrimEnd('/')
    $uuid = ''
    try { $uuid = Get-Uuid (Read-SmbiosUuid) } catch { Write-Said "the SMBIOS UUID cannot be read: $($_.Exception.Message)" }
    $problem = Test-Setting $settings $uuid
    if ($problem -ne '') { Write-Said $problem; exit 78 }
    $state = New-State $settings $uuid
    $state.NewSample = Get-Figure $state 'cpuUsage' { Read-CpuCounter }
    Save-Sample $state
    if ($DryRun) { Wait-Second 1; return (ConvertTo-Json (New-Report $state 'running')) }
    try { $state.Key = Read-Key $settings.DEFIB_KEY_FILE } catch { Write-Said $_.Exception.Message; exit 78 }
    if ($Once -or $Stopping) {
        Wait-Second 1
        $status = 'running'
        if ($Stopping) { $status = 'stopping' }
        Send-Report $state $status
        if ($state.Trouble -ne '') { exit 1 }
        return
    }
    Start-Agent $state
}

if ($env:DEFIB_AGENT_SOURCED -ne '1') { Invoke-Main }
