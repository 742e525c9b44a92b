// The npm macaroon end of a conversation about tokens, led by `cargo xtask interop npm-macaroon`.
//
// usage: node peer.js mint < /dev/null    prints tokens minted here, in every form there is
//        node peer.js check < tokens      verifies tokens, narrows each, prints the narrowed
//
// Tokens travel as a JSON list of {form, root, token, identifier, caveats}, every byte string
// in hexadecimal. `caveats` is what the token must be found to say.
'use strict';

const { readFileSync } = require('node:fs');
const { isDeepStrictEqual } = require('node:util');
const { importMacaroon, newMacaroon } = require('macaroon');

const ROOT = Uint8Array.from({ length: 32 }, (_, index) => index);
// Version 0, a payment hash and a token id, none of which is text.
const IDENTIFIER = Uint8Array.from([0, 0, ...Array.from({ length: 64 }, (_, index) => 128 + index)]);
// As lsat-js writes it.
const TEXT_IDENTIFIER = Buffer.from(IDENTIFIER).toString('hex');
const CAVEATS = ['services=weather:0', 'weather_valid_until=4000000000'];
const NARROWER = 'path_prefix=/paris';

function mint() {
  // The package writes no V1 binary.
  const v2 = build(IDENTIFIER);
  const text = build(TEXT_IDENTIFIER);
  return [
    sample('V2 binary', ROOT, v2, v2.exportBinary()),
    sample('V2 JSON', ROOT, v2, json(v2)),
    sample('V2 JSON of text', ROOT, text, json(text)),
  ];
}

function check(samples) {
  return samples.map(given => {
    const root = bytes(given.root);
    const macaroon = importMacaroon(bytes(given.token));
    const wanted = [given.identifier, given.caveats];
    const found = [hex(macaroon.identifier), caveats(macaroon)];
    if (!isDeepStrictEqual(found, wanted)) {
      throw new Error(`${given.form}: reads ${found}, not ${wanted}`);
    }
    if (!holds(macaroon, root)) {
      throw new Error(`${given.form}: does not verify`);
    }
    if (holds(macaroon, root.slice().reverse())) {
      throw new Error(`${given.form}: verifies under another root key`);
    }
    macaroon.addFirstPartyCaveat(NARROWER);
    // As JSON: with its new caveat a token may have more fields than exportBinary takes.
    return sample(`${given.form}, narrowed`, root, macaroon, json(macaroon));
  });
}

function build(identifier) {
  const macaroon = newMacaroon({ identifier, rootKey: ROOT, location: '', version: 2 });
  CAVEATS.forEach(caveat => macaroon.addFirstPartyCaveat(caveat));
  return macaroon;
}

function holds(macaroon, root) {
  try {
    macaroon.verify(root, () => null);
    return true;
  } catch {
    return false;
  }
}

function sample(form, root, macaroon, token) {
  return {
    form,
    root: hex(root),
    token: hex(token),
    identifier: hex(macaroon.identifier),
    caveats: caveats(macaroon),
  };
}

const json = macaroon => Buffer.from(JSON.stringify(macaroon.exportJSON()));
const caveats = macaroon => macaroon.caveats.map(caveat => hex(caveat.identifier));
const hex = data => Buffer.from(data).toString('hex');
const bytes = text => new Uint8Array(Buffer.from(text, 'hex'));

const verbs = { mint, check: () => check(JSON.parse(readFileSync(0, 'utf8'))) };
const verb = verbs[process.argv[2]];
if (!verb) {
  throw new Error('usage: node peer.js mint|check');
}
console.log(JSON.stringify(verb()));
