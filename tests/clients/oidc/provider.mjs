// An OpenID provider whose tokens look like those GitHub Actions gives its jobs: `node provider.mjs PORT CERTIFICATE KEY`.
//
// A job is a client of its own, and asks by `client_credentials` with `resource=https://AUDIENCE`; the token's audience is AUDIENCE.
// Each start makes a new key, so that a restart is a rotation.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

const [port, certificate, tlsKey] = process.argv.slice(2);
const issuer = `https://localhost:${port}`;
const SECRET = 'a secret of this test alone';

// What a job runs for, by the id of its client.
const JOBS = {
  'acme-app': { repository: 'acme/app', ref: 'refs/heads/main' },
  'acme-app-pull-request': { repository: 'acme/app', ref: 'refs/pull/1/merge' },
  'acme-other': { repository: 'acme/other', ref: 'refs/heads/main' },
  'evil-app': { repository: 'evil/app', ref: 'refs/heads/main' },
};

const subject = ({ repository, ref }) =>
  `repo:${repository}:${ref.startsWith('refs/pull/') ? 'pull_request' : `ref:${ref}`}`;

const claims = (job) => ({
  repository: job.repository,
  repository_owner: job.repository.split('/')[0],
  ref: job.ref,
  ref_type: 'branch',
  workflow: 'build',
  event_name: job.ref.startsWith('refs/pull/') ? 'pull_request' : 'push',
  run_id: '6281',
  runner_environment: 'github-hosted',
});

const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });

const provider = new Provider(issuer, {
  clients: Object.keys(JOBS).map((id) => ({
    client_id: id,
    client_secret: SECRET,
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  })),
  jwks: { keys: [{ ...key, use: 'sig', alg: 'RS256' }] },
  cookies: { keys: ['no browser comes here'] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_ctx, resource) => ({
        scope: '',
        audience: new URL(resource).host,
        accessTokenTTL: 300,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  extraTokenClaims: (_ctx, token) => claims(JOBS[token.clientId]),
  formats: {
    customizers: {
      jwt(_ctx, token, parts) {
        parts.payload.sub = subject(JOBS[token.clientId]);
      },
    },
  },
});

createServer({ cert: readFileSync(certificate), key: readFileSync(tlsKey) }, provider.callback())
  .listen(Number(port), '127.0.0.1', () => console.log(`serving ${issuer}`));
