# For Pester 5: Invoke-Pester agents/windows/tests. Nothing is installed: only functions that change nothing are called.
BeforeAll {
    $env:DEFIB_AGENT_SOURCED = '1'
    . (Join-Path $PSScriptRoot '..\install.ps1') -Folder (Join-Path $TestDrive 'HealthCheck')
}

Describe 'the address' {
    It 'is what was given, without the last slash' {
        $Url = 'https://defib.example.com/'
        Get-ServerAddress | Should -Be 'https://defib.example.com'
    }
    It 'is refused where it is none' -ForEach @('', 'ftp://defib', 'https://me:secret@defib', 'https://defib/?a=b') {
        $Url = $_
        { Get-ServerAddress } | Should -Throw '*where is the Defib server*'
    }
    It 'is empty where the server did not fill it in' {
        Get-FilledIn '@SERVER@' | Should -Be ''
    }
}

Describe 'settings' {
    It 'name the VM as the enrolment answered' {
        $text = Get-Setting 'https://defib' @{ Id = 'vm_7'; Number = '4711' }
        $text | Should -Match 'DEFIB_VM=vm_7'
        $text | Should -Match 'DEFIB_VMID=4711'
        $text | Should -Match 'DEFIB_URL=https://defib'
    }
    It 'keep what somebody wrote into them' {
        [void](New-Item -ItemType Directory -Path $Folder -Force)
        [System.IO.File]::WriteAllText((Join-Path $Folder 'agent.conf'), "DEFIB_URL=https://old`r`nDEFIB_NODE=pve1`r`n")
        $text = Get-Setting 'https://defib' $null
        $text | Should -Match 'DEFIB_NODE=pve1'
        $text | Should -Not -Match 'old'
    }
}

Describe 'what arrives' {
    It 'is known by its checksum' {
        Get-Sha256 'abc' | Should -Be 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    }
    It 'is run without a profile and without a question' {
        Get-AgentArgument '-Stopping' | Should -Match '^-NoProfile -NonInteractive -ExecutionPolicy Bypass -File ".*windows-agent.ps1" -Stopping$'
    }
}
