// A real OpenID provider on loopback, for tests: node provider.mjs CONFIGURATION.json
import { readFileSync } from 'node:fs'
import Provider from 'oidc-provider'

const { issuer, port, clients, accounts, jwks } = JSON.parse(readFileSync(process.argv[2], 'utf8'))

const provider = new Provider(issuer, {
  clients,
  jwks,
  cookies: { keys: ['only-for-tests'] },
  claims: {
    openid: ['sub'],
    profile: ['preferred_username', 'groups'],
    email: ['email', 'email_verified'],
  },
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, ...accounts[id] }),
  }),
})

provider.listen(port, '127.0.0.1', () => console.log('listening'))
