/** Every word the page shows, in English. A translation is another file with the same shape. */

const plural = (count: number, one: string, many: string) =>
  `${count.toLocaleString('en')} ${count === 1 ? one : many}`;

export const vmsText = (count: number) => plural(count, 'VM', 'VMs');

export const en = {
  product: 'Defib',
  skip: 'Skip to the content',

  nav: { fleet: 'Fleet', system: 'System', settings: 'Settings', audit: 'Audit', main: 'Main' },

  state: {
    healthy: 'Healthy',
    warning: 'Warning',
    down: 'Down',
    unknown: 'Unknown',
    reset_failed: 'Reset failed',
  },
  stateMeans: {
    healthy: 'reports, and is within its thresholds',
    warning: 'reports, and is above a threshold',
    down: 'silent for longer than its stale timeout',
    unknown: 'has never reported: nobody can say how it is',
    reset_failed: 'down, and its automatic attempts are used up: it needs a person',
  },
  lastKnown: 'was healthy when last heard of; nobody vouches for it now',
  flag: {
    resetPending: 'Reset pending',
    paused: 'Paused',
    clone: 'Two machines',
    cloneMeans:
      'Two machines seem to report as this VM: while one of them reports, nobody sees the other die. Stop the agent in the copy, and enrol it by itself.',
    heldShort: 'Held',
    held: (reason: string) => `Held: ${reason}`,
  },

  time: {
    ago: (duration: string) => `${duration} ago`,
    never: 'never',
    local: 'Local',
    utc: 'UTC',
    zoneTitle: 'Show times in local time or in UTC',
  },

  theme: {
    title: 'Colours',
    system: 'As the system',
    dark: 'Dark',
    light: 'Light',
  },

  signIn: {
    title: 'Sign in to Defib',
    again: 'Sign in again',
    token: 'Access token',
    hint: 'Made by',
    command: 'defib token create --kind admin --name you',
    local: 'After make up it is in .defib/secrets/admin-token.',
    kept: 'The page exchanges it for a session of twelve hours at most, and keeps no token.',
    submit: 'Sign in',
    checking: 'Checking …',
    expired:
      'Your session is over: it has ended, or its token was revoked. Sign in again and go on where you were.',
    leave: 'Leave the page',
    beside:
      'Opens in a new tab. Sign in there and come back: what you were doing is still here.',
    proxy: 'A proxy in front of Defib signs people in: reload the page to pass it again.',
    empty: 'Paste a token first.',
    noToken: 'This is no token: it has blanks or letters that no token has.',
    out: 'Sign out',
    notOut: 'Still signed in: the API could not be reached.',
  },

  role: {
    names: { viewer: 'viewer', operator: 'operator', administrator: 'administrator' },
    needs: (role: string) => `needs ${role}`,
  },

  live: {
    connecting: 'Connecting',
    live: 'Live',
    polling: 'Every 5 s',
    stale: 'Stale',
    offline: 'Offline',
    connectingTitle: 'What is shown is being asked for anew',
    liveTitle: 'Changes arrive as they happen',
    pollingTitle: 'The stream of changes is not there; the page asks every five seconds',
    staleBanner: (age: string) =>
      `No answer from the API for ${age}. What you see is that old; trying again.`,
    failingBanner: (age: string) =>
      `Part of what you see is ${age} old: the API is there, but does not answer all that is asked.`,
    offlineBanner: (age: string) =>
      `The API has not been reached for ${age}. Do not trust what you see: look at the API and at your network. Trying again.`,
  },

  failure: {
    title: 'This could not be loaded',
    unreachable:
      'The API cannot be reached. Is it running, and is your network up? The page goes on trying.',
    slow: 'The API did not answer in time. It may be under load; the page goes on trying.',
    garbled:
      'The answer was cut off, or came from something else, such as a proxy. The page goes on trying.',
    unavailable:
      'The API is there, but its database is not. Heartbeats are not stored meanwhile, and nothing is reset.',
    forbidden: 'You may not see this. Ask an administrator for the role.',
    notFound: 'There is nothing here. It may have been deleted.',
    broken: (id: string | undefined) =>
      `Something broke in Defib itself.${id === undefined ? '' : ` The API’s log has it under ${id}.`}`,
    again: 'Try again',
    crashed: 'The page itself has failed. Reloading usually helps; the fleet is not affected.',
    reload: 'Reload the page',
  },

  loading: 'Loading …',

  fleet: {
    title: 'Fleet',
    counters: 'VMs by state',
    all: 'All',
    view: 'View',
    cards: 'Cards',
    table: 'Table',
    map: 'Map',
    search: 'Search host name, VMID, node',
    node: 'Node',
    anyNode: 'All nodes',
    noNode: 'no node',
    label: 'Label',
    anyLabel: 'All labels',
    anotherLabel: 'And label …',
    paused: 'Pause',
    pausedAny: 'Paused or not',
    pausedOnly: 'Paused only',
    pausedNot: 'Not paused',
    sort: 'Order',
    sorts: {
      health: 'Unhealthy first',
      hostname: 'Host name',
      node: 'Node',
      vmid: 'VMID',
      cpu: 'CPU, highest first',
      ram: 'RAM, highest first',
      lastHeartbeat: 'Longest silent first',
    },
    reset: 'Show all',
    remove: (what: string) => `Remove the filter ${what}`,
    columns: {
      state: 'State',
      hostname: 'Host name',
      vmid: 'VMID',
      node: 'Node',
      cpu: 'CPU',
      ram: 'RAM',
      disk: 'Disk',
      heartbeat: 'Last heartbeat',
      attempts: 'Attempts',
      why: 'Why',
    },
    shown: (from: number, to: number, total: number) =>
      `${from.toLocaleString('en')}–${to.toLocaleString('en')} of ${total.toLocaleString('en')}`,
    first: 'First page',
    previous: 'Previous page',
    next: 'Next page',
    open: (hostname: string) => `Open ${hostname}`,
    choose: (hostname: string) => `Choose ${hostname}`,
    chooseColumn: 'Choose',
    lastHour: 'the last hour',
    noVms: 'No VM reports yet',
    noVmsNext:
      'A VM appears here with its first report. Install the agent on one, and give it half a minute.',
    addVm: 'Add a VM',
    noMatch: 'No VM matches',
    noMatchNext: 'Nothing in the fleet fits all of these filters together.',
    mapLabel: (count: number) =>
      `Map of ${vmsText(count)} by node. Arrow keys move from VM to VM, Enter opens one.`,
    mapLabels: 'The map cannot be narrowed by labels; the table can.',
    mapAsTable: 'The same as a table',
    nodeOffline: 'offline',
    unhealthyOf: (unhealthy: number, total: number) =>
      unhealthy === 0 ? vmsText(total) : `${unhealthy} of ${vmsText(total)}`,
    attempts: (used: number, allowed: number) => `${used} of ${allowed}`,
    since: 'since',
  },

  vm: {
    close: 'Close',
    openPage: 'Open as a page',
    gone: 'This VM is not known any more',
    goneNext: 'It was deleted while you looked at it, or the link is old.',
    back: 'Back to the fleet',
    details: (hostname: string) => `Details of ${hostname}`,
  },

  system: {
    title: 'System',
    ingest: 'Reports coming in',
    ingestLive: 'Reports are being stored',
    ingestBlind: 'Blind: nothing is being stored',
    blindBanner: (age: string) =>
      `Defib is blind: for ${age} no API could store a report. No VM becomes down and nothing is reset until it hears again. Look at PostgreSQL and the API.`,
    blindBannerNoAge:
      'Defib is blind: no API can store a report. No VM becomes down and nothing is reset until it hears again. Look at PostgreSQL and the API.',
    globalStopBanner: (by: string, reason: string) => `All resets are stopped, by ${by}: ${reason}`,
    brakeBanner: (reason: string, scope: string) => `${reason} holds resets (${scope})`,
    sweepBanner: (age: string) =>
      `The operator last looked at the fleet ${age} ago. Until it does, no VM becomes down and nothing is reset. Look at the operator.`,
    noSweepBanner:
      'No operator has looked at the fleet yet: no VM becomes down, and nothing is reset. Start the operator.',
    more: 'System health',
    operator: 'Operator',
    leader: 'Leader',
    noLeader: 'No leader: nothing is decided or reset',
    hasLeader: 'An operator leads',
    reportsWaiting: 'Reports about to be stored',
    statusesWaiting: 'Statuses to be written',
    alerting: (count: number) => `${count} to be repaired,`,
    alertingMeans:
      'They have shown signs of life for more than an hour and do not report: repair their agents',
    tokenMissing: (rights: string) => `Its token lacks: ${rights}`,
    running: 'Running',
    lastSweep: 'Last sweep',
    kubernetes: 'Kubernetes last heard',
    relays: 'Relays',
    relayHeard: 'heard',
    relayNotHeard: 'not heard',
    relayLast: 'last',
    relayWaiting: (count: number) => `${plural(count, 'report', 'reports')} on its disk`,
    relayLost: (count: number) => `${plural(count, 'report', 'reports')} lost`,
    relayBanner: (name: string, age: string) =>
      `The relay ${name} was last heard ${age} ago. Until it is, no VM behind it becomes down or is reset. Look at the relay and its network.`,
    clusters: 'Proxmox clusters',
    noClusters: 'No Proxmox cluster is known: apply a ProxmoxCluster.',
    reachable: 'Reachable',
    unreachable: 'Not reachable',
    notAsked: 'Not asked yet',
    quorate: 'quorate',
    notQuorate: 'no quorum',
    brakes: 'Brakes in force',
    noBrakes: 'None. Resets are not held by the size of an outage.',
    holds: 'Holds',
    noHolds: 'None. No VM that is down is being held.',
    queue: 'Resets under way',
    requested: 'Requested',
    sending: 'Being sent',
    sent: 'Sent, not proven yet',
    redis: 'Redis',
    redisState: {
      ok: 'In use',
      down: 'Away: reads come from PostgreSQL, slower',
      degraded: 'Away: reads come from PostgreSQL, slower',
      off: 'Not configured',
    },
    version: 'Version',
    replicas: (count: number) => plural(count, 'API process', 'API processes'),
    since: 'Since',
    reason: 'Reason',
    scope: 'Scope',
    vms: 'VMs',
    nodes: 'Nodes',
    none: '–',
  },

  coverage: {
    title: 'Coverage',
    inventory: (count: number) => `${vmsText(count)} in the inventory of Proxmox.`,
    agentless: 'Without an agent: nobody would notice them hang',
    unknownAgents: 'Agents that belong to no VM in Proxmox',
    notResettable: 'Reporting, but could not be reset',
    none: 'None.',
    name: 'Name',
    vmid: 'VMID',
    node: 'Node',
    state: 'State',
    why: 'Why',
    cluster: 'Cluster',
    heard: 'Last heartbeat',
    lastRead: 'Last read:',
    neverRead: 'not read yet',
    more: (count: number) => `${count} more`,
    allOf: (count: number) => `All ${count.toLocaleString('en')}`,
    first: (most: number) => `These are the first ${most.toLocaleString('en')}.`,
  },

  help: {
    title: 'Keys',
    open: 'Keyboard help',
    close: 'Close',
    groups: { anywhere: 'Anywhere', fleet: 'In the fleet', dialogs: 'In dialogs' },
    keys: {
      help: 'This help',
      search: 'Search',
      goFleet: 'Go to the fleet',
      goSystem: 'Go to system health',
      goSettings: 'Go to the settings',
      goAudit: 'Go to the audit log',
      theme: 'Dark or light',
      zone: 'Local time or UTC',
      move: 'Move from VM to VM',
      open: 'Open the VM',
      viewCards: 'Show cards',
      viewTable: 'Show the table',
      viewMap: 'Show the map',
      close: 'Close',
    },
  },

  addVm: {
    title: 'Add a VM',
    lead: 'Make a token, then run the line on the VM. It installs the agent, which reports every 30 seconds.',
    make: 'Make a token for one VM',
    made: 'The token is in the lines below. It is good for one machine and for an hour, and is shown this once.',
    after:
      'The VM appears in the fleet with its first report. It is not reset before it has reported three times.',
    copy: 'Copy',
    copied: 'Copied',
    linux: 'Linux',
    windows: 'Windows',
    close: 'Close',
  },
} as const;
