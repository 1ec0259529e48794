# For Pester 5: Invoke-Pester agents/windows/tests. Every call to the platform is replaced, so they run on any system with PowerShell.
BeforeAll {
    $env:DEFIB_AGENT_SOURCED = '1'
    . (Join-Path $PSScriptRoot '..\windows-agent.ps1')
    function New-TestState {
        $settings = Get-DefaultSetting
        $settings.DEFIB_URL = 'https://defib'
        $settings.DEFIB_VMID = '100'
        $settings.DEFIB_HOSTNAME = 'web-server-01'
        $state = New-State $settings ([string]::Empty)
        $state
    }
    Mock Get-Draw { $Below - 1 }
    Mock Write-Said { $null }
    Mock Read-Uptime { 3600 }
    Mock Read-UnixTime { 1672531200 }
}

Describe 'figures' {
    It 'takes CPU as the share not idle between two samples' {
        Get-CpuPercent @{ Idle = 8500; All = 10000 } @{ Idle = 9048; All = 11000 } | Should -Be 45.2
    }
    It 'leaves CPU out when the counters stepped back' {
        Get-CpuPercent @{ Idle = 8500; All = 10000 } @{ Idle = 8500; All = 9000 } | Should -BeNullOrEmpty
    }
    It 'builds the report of the seed' {
        $state = New-TestState
        $state.Sample = @{ Idle = 8500; All = 10000 }
        Mock Read-CpuCounter { @{ Idle = 9048; All = 11000 } }
        Mock Read-Memory { @{ TotalKb = 4194304; AvailableKb = 2097152 } }
        Mock Read-Disk { @{ Name = 'C:'; Size = 104857600000; Free = 52428800000 } }
        Mock Read-SystemDrive { 'C:' }
        Mock Read-BootId { 'boot-7' }
        $report = New-Report $state 'running'
        $report.cpuUsage | Should -Be 45.2
        $report.ramUsage | Should -Be 2048
        $report.ramTotal | Should -Be 4096
        $report.diskUsage | Should -Be 50000
        $report.diskTotal | Should -Be 100000
        $report.Contains('worstDisk') | Should -BeFalse
    }
}

Describe 'answers' {
    It 'doubles the back-off up to the interval' -ForEach @(@(0, 2), @(1, 4), @(3, 16), @(4, 30), @(1000, 30)) {
        $state = New-TestState
        $state.Failures = $_[0]
        Set-Wait $state @{ Code = 500; RetryAfter = ''; Said = '' } 1000000
        $state.Wait | Should -Be $_[1]
    }
    It 'slows down to once a minute when the key is refused' -ForEach @(401, 403) {
        $state = New-TestState
        Set-Wait $state @{ Code = $_; RetryAfter = ''; Said = '' } 1000000
        $state.Wait | Should -Be 65
    }
    It 'waits as long as it is told, and the back-off on top' {
        $state = New-TestState
        $state.Failures = 2
        Set-Wait $state @{ Code = 503; RetryAfter = '20'; Said = '' } 1000000
        $state.Wait | Should -Be 28
    }
    It 'says a trouble once' {
        $state = New-TestState
        1..3 | ForEach-Object { Set-Wait $state @{ Code = 500; RetryAfter = ''; Said = '' } 1000000 }
        Should -Invoke Write-Said -Times 1 -Exactly
    }
}

Describe 'an outage' {
    It 'keeps one sample an interval and the newest 120' {
        $state = New-TestState
        foreach ($second in 0..200) {
            Mock Read-Uptime { $second * 30 }
            Save-Report $state ([ordered]@{ cpuUsage = $second })
        }
        $state.Kept.Count | Should -Be 120
        (Get-Batch $state).reports.Count | Should -Be 30
    }
}
