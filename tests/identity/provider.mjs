// A certified OpenID provider (npm: oidc-provider) for the tests, told what to do by JSON lines on standard input.
import { createServer } from 'node:http';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createInterface } from 'node:readline';

// standard output is the answers' alone
for (const way of ['log', 'info', 'warn']) console[way] = console.error;

const [modules, audience] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(join(modules, 'oidc-provider', 'lib', 'index.js')));

// every part of the provider asks this one clock
const wall = Date.now.bind(Date);
let skewS = 0;
Date.now = () => wall() + skewS * 1000;

const KINDS = {
  ES256: ['ec', { namedCurve: 'P-256' }],
  Ed25519: ['ed25519', {}],
  RS256: ['rsa', { modulusLength: 2048 }],
};
const known = new Map();
function key(kid, alg) {
  if (!known.has(kid)) {
    const { privateKey } = generateKeyPairSync(...KINDS[alg]);
    known.set(kid, { ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' });
  }
  return known.get(kid);
}

let handler = null;
let down = false;
const counts = {};
const server = createServer((request, response) => {
  counts[request.url] = (counts[request.url] ?? 0) + 1;
  if (down) {
    request.socket.destroy();
  } else {
    handler(request, response);
  }
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const issuer = `http://127.0.0.1:${server.address().port}`;

const client = (client_id, more = {}) => ({
  client_id, client_secret: 'correct-horse-battery-staple-000', grant_types: ['client_credentials'],
  redirect_uris: [], response_types: [], ...more,
});

function serve(keys) {
  const { kid, alg } = keys[0];
  const provider = new Provider(issuer, {
    jwks: { keys: keys.map((one) => key(one.kid, one.alg)) },
    clients: [
      client('loans-client'), client('stranger'),
      client('bound-client', { tls_client_certificate_bound_access_tokens: true }),
    ],
    clientDefaults: { id_token_signed_response_alg: alg },
    scopes: ['score'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        // as a proxy in front would hand it over
        getCertificate: (ctx) => {
          const given = ctx.get('x-test-client-cert');
          return given ? new X509Certificate(Buffer.from(given, 'base64')) : undefined;
        },
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: (_ctx, resource) => ({
          scope: 'score', audience: resource, accessTokenTTL: 600, accessTokenFormat: 'jwt',
          jwt: { sign: { alg, kid } },
        }),
      },
    },
  });
  handler = provider.callback();
}
serve([{ kid: 'first', alg: 'ES256' }]);

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
say({ issuer });
for await (const line of createInterface({ input: process.stdin })) {
  const told = JSON.parse(line);
  if (told.keys) serve(told.keys);
  if (told.down !== undefined) down = told.down;
  if (told.skew_s !== undefined) skewS = told.skew_s;
  say({ counts });
}
process.exit(0);
