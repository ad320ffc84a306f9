// A second verifier of receipts and logs, written from docs/spec and the C2SP texts alone, without a look at the
// project's code. Node's standard library only.
//
//   node verifier.mjs receipt RECEIPT --policy FILE --openings FOLDER [--request FILE] [--answer FILE] [--row N] [--cosigned]
//   node verifier.mjs log FOLDER --policy FILE --openings FOLDER [--cosigned]
//   node verifier.mjs shards GOVERNANCE SHARD... --policy FILE --openings FOLDER [--seen FOLDER] [--cosigned]
//   node verifier.mjs consistency CHECKPOINT FOLDER --policy FILE --openings FOLDER
//   node verifier.mjs consistency CHECKPOINT CHECKPOINT --proof FILE --policy FILE --openings FOLDER
//   node verifier.mjs batch < lines of JSON      (for the tests: one judgement a line)
//
// Exit codes: 0 verified, 2 nothing was judged, 4 not what was signed or logged.

import crypto from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import { pathToFileURL } from 'node:url'

export class Refused extends Error {}

function demand(condition, why) {
  if (!condition) throw new Refused(why)
}

// ---------------------------------------------------------------------------------------------- bytes and text

const sha256 = (...parts) => {
  const hash = crypto.createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

function utf8(bytes, what) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new Refused(`${what} is not UTF-8`)
  }
}

// RFC 4648, section 4: padded, spare bits zero, nothing else. Node's own decoder forgives, so we encode again.
function base64(text, what) {
  demand(typeof text === 'string', `${what} is no text`)
  const bytes = Buffer.from(text, 'base64')
  demand(bytes.toString('base64') === text, `${what} is not base 64 in its one spelling`)
  return bytes
}

const HEX = /^[0-9a-f]*$/
const isHex = (value, ...digits) => typeof value === 'string' && digits.includes(value.length) && HEX.test(value)
const same = (a, b) => Buffer.compare(a, b) === 0

// --------------------------------------------------------------------------------------------------------- JSON

export class Numeral {
  constructor(raw) {
    this.raw = raw
  }
}

// One parser with two tempers. Canonical is format 1: one form for each document; numbers become JavaScript's.
// Lenient is for requests and answers: numbers stay as they are written, because bits count; NaN and the infinities are
// read, and of a key that stands twice the last counts (docs/spec/16).
class Parser {
  constructor(text, canonical, what) {
    Object.assign(this, { text, canonical, what, at: 0, depth: 0 })
  }

  fail(why) {
    throw new Refused(`${this.what}: ${why}`)
  }

  space() {
    if (this.canonical) return
    while (' \t\n\r'.includes(this.text[this.at] ?? 'x')) this.at++
  }

  whole() {
    this.space()
    const value = this.value()
    this.space()
    if (this.at !== this.text.length) this.fail('something follows the document')
    return value
  }

  value() {
    const c = this.text[this.at]
    if (c === '{' || c === '[') {
      this.depth++
      if (this.depth > (this.canonical ? 32 : 500)) this.fail('nested too deeply')
      const value = c === '{' ? this.object() : this.array()
      this.depth--
      return value
    }
    if (c === '"') return this.string()
    for (const [word, value] of [['true', true], ['false', false], ['null', null]]) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length
        return value
      }
    }
    return this.number()
  }

  number() {
    const form = this.canonical ? /-?(?:0|[1-9][0-9]*)/y : /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
    form.lastIndex = this.at
    const odd = !this.canonical && /NaN|-?Infinity/y
    if (odd) {
      odd.lastIndex = this.at
      const word = odd.exec(this.text)
      if (word) {
        this.at += word[0].length
        return new Numeral(word[0])
      }
    }
    const found = form.exec(this.text)
    if (!found) this.fail('no value')
    this.at += found[0].length
    if (!this.canonical) return new Numeral(found[0])
    if (found[0] === '-0') this.fail('minus zero')
    if (found[0].length > 17 || !Number.isSafeInteger(Number(found[0]))) this.fail('a number too large')
    return Number(found[0])
  }

  string() {
    let out = ''
    this.at++
    for (;;) {
      const c = this.text[this.at++]
      if (c === undefined) this.fail('text without an end')
      if (c === '"') return out
      if (c < ' ') this.fail('an unescaped control character')
      if (c !== '\\') {
        out += c
        continue
      }
      const e = this.text[this.at++]
      const short = { b: '\b', t: '\t', n: '\n', f: '\f', r: '\r', '"': '"', '\\': '\\' }[e]
      if (short !== undefined) out += short
      else if (e === '/' && !this.canonical) out += '/'
      else if (e === 'u') {
        const digits = this.text.slice(this.at, this.at + 4)
        if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail('a broken escape')
        this.at += 4
        const code = Number.parseInt(digits, 16)
        if (this.canonical && (code > 0x1f || '\b\t\n\f\r'.includes(String.fromCharCode(code)) || !HEX.test(digits))) {
          this.fail('an escape that is not the one form')
        }
        out += String.fromCharCode(code)
      } else this.fail('a broken escape')
    }
  }

  object() {
    const out = Object.create(null)
    let last
    this.at++
    this.space()
    if (this.text[this.at] === '}') {
      this.at++
      return out
    }
    for (;;) {
      this.space()
      if (this.text[this.at] !== '"') this.fail('a key is expected')
      const key = this.string()
      if (this.canonical) {
        if (key in out) this.fail('a key twice')
        // eslint-disable-next-line no-control-regex
        if (!/^[\x00-\x7f]*$/.test(key)) this.fail('a key that is not ASCII')
        if (last !== undefined && !(last < key)) this.fail('keys out of order')
        last = key
      }
      this.space()
      if (this.text[this.at++] !== ':') this.fail('a colon is expected')
      this.space()
      out[key] = this.value()
      this.space()
      const c = this.text[this.at++]
      if (c === '}') return out
      if (c !== ',') this.fail('a comma is expected')
    }
  }

  array() {
    const out = []
    this.at++
    this.space()
    if (this.text[this.at] === ']') {
      this.at++
      return out
    }
    for (;;) {
      this.space()
      out.push(this.value())
      this.space()
      const c = this.text[this.at++]
      if (c === ']') return out
      if (c !== ',') this.fail('a comma is expected')
    }
  }
}

export function canonical(bytes, limit, what) {
  demand(bytes.length <= limit, `${what} is too large`)
  return new Parser(utf8(bytes, what), true, what).whole()
}

export function json(bytes, what) {
  return new Parser(utf8(bytes, what).replace(/^\ufeff/, ''), false, what).whole()
}

const isMap = (value) => value !== null && typeof value === 'object' && !Array.isArray(value) && !(value instanceof Numeral)

function fields(value, names, what, optional = []) {
  demand(isMap(value), `${what} is no object`)
  for (const name of names) demand(name in value, `${what} lacks ${name}`)
  for (const name of Object.keys(value)) demand(names.includes(name) || optional.includes(name), `${what} has ${name}`)
  return value
}

const isText = (value) => typeof value === 'string'
const isCount = (value) => Number.isSafeInteger(value) && value >= 0

// ---------------------------------------------------------------------------------------------------- RFC 6962

const leafHash = (leaf) => sha256(Buffer.from([0]), leaf)
const nodeHash = (left, right) => sha256(Buffer.from([1]), left, right)

export function treeHash(hashes, start = 0, end = hashes.length) {
  if (end === start) return sha256()
  if (end - start === 1) return hashes[start]
  let k = 1
  while (k * 2 < end - start) k *= 2
  return nodeHash(treeHash(hashes, start, start + k), treeHash(hashes, start + k, end))
}

// From the leaf up, by the recursive definition of RFC 6962, 2.1.1: the last hash of the path is the root's child.
function rootFromPath(leaf, index, size, proof) {
  if (size === 1n) {
    demand(proof.length === 0, 'the proof is too long')
    return leaf
  }
  demand(proof.length > 0, 'the proof is too short')
  let k = 1n
  while (k * 2n < size) k *= 2n
  const rest = proof.slice(0, -1)
  const last = proof[proof.length - 1]
  if (index < k) return nodeHash(rootFromPath(leaf, index, k, rest), last)
  return nodeHash(last, rootFromPath(leaf, index - k, size - k, rest))
}

export function checkInclusion(leaf, index, size, proof, root) {
  demand(index < size, 'the index is not in the tree')
  demand(same(rootFromPath(leaf, index, size, proof), root), 'the proof does not lead to the root')
}

// RFC 6962, 2.1.2: both roots out of SUBPROOF(m, D[n], b).
function rootsFromSubproof(m, n, whole, proof, known) {
  if (m === n) {
    if (whole) {
      demand(proof.length === 0, 'the consistency proof is too long')
      return [known, known]
    }
    demand(proof.length === 1, 'the consistency proof has another length')
    return [proof[0], proof[0]]
  }
  demand(proof.length > 0, 'the consistency proof is too short')
  let k = 1n
  while (k * 2n < n) k *= 2n
  const rest = proof.slice(0, -1)
  const last = proof[proof.length - 1]
  if (m <= k) {
    const [before, after] = rootsFromSubproof(m, k, whole, rest, known)
    return [before, nodeHash(after, last)]
  }
  const [before, after] = rootsFromSubproof(m - k, n - k, false, rest, known)
  return [nodeHash(last, before), nodeHash(last, after)]
}

export function checkConsistency(older, newer, proof) {
  demand(older.size <= newer.size, 'the newer tree is smaller')
  if (older.size === 0n) {
    demand(proof.length === 0, 'a proof from the empty tree is empty')
    return
  }
  const [before, after] = rootsFromSubproof(older.size, newer.size, true, proof, older.root)
  demand(same(before, older.root), 'the proof does not lead to the older root')
  demand(same(after, newer.root), 'the proof does not lead to the newer root')
}

function checkConsistencyLines(older, newer, lines) {
  demand(older.origin === newer.origin, 'the checkpoints are of two logs')
  const hashes = lines.map((line) => base64(line, 'a hash'))
  demand(hashes.every((hash) => hash.length === 32), 'a hash has another length')
  checkConsistency(older, newer, hashes)
}

// --------------------------------------------------------------------------------------- keys, notes, checkpoints

const KEY_NAME = /^[^\p{White_Space}+\x7f]+$/u
const ED25519 = 1
const COSIGNATURE = 4
const SPKI = Buffer.from('302a300506032b6570032100', 'hex')

export function verifierKey(text, type) {
  const parts = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/su.exec(text)
  demand(parts && KEY_NAME.test(parts[1]), 'a verifier key is not of the form name+id+key')
  const bytes = base64(parts[3], 'a verifier key')
  demand(bytes.length === 33 && bytes[0] === type, 'a verifier key is of another type')
  const id = sha256(parts[1], '\n', bytes).subarray(0, 4)
  demand(id.toString('hex') === parts[2], 'a verifier key has an id that is not its own')
  return { name: parts[1], id, type, raw: bytes.subarray(1), vkey: text }
}

// RFC 8032, 5.1.3: y below p, and no sign on x = 0 (y = 1 or p - 1). OpenSSL takes both.
function isPoint(raw) {
  const y = BigInt(`0x${Buffer.from(raw).reverse().toString('hex')}`)
  const p = (1n << 255n) - 19n
  const low = y & ((1n << 255n) - 1n)
  return low < p && (low === y || (low !== 1n && low !== p - 1n))
}

function signedBy(key, message, signature) {
  if (!isPoint(key.raw)) return false
  try {
    const der = Buffer.concat([SPKI, key.raw])
    const opened = crypto.createPublicKey({ key: der, format: 'der', type: 'spki' })
    return crypto.verify(null, message, opened, signature)
  } catch {
    return false
  }
}

export function parseNote(bytes) {
  demand(bytes.length <= 65536, 'a note is too large')
  const text = utf8(bytes, 'a note')
  // eslint-disable-next-line no-control-regex
  demand(!/[\x00-\x09\x0b-\x1f]/.test(text), 'a note has a control character')
  const split = text.lastIndexOf('\n\n')
  demand(split >= 0, 'a note has no signatures')
  const body = text.slice(0, split + 1)
  const tail = text.slice(split + 2)
  demand(tail.length > 0 && tail.endsWith('\n'), 'a note does not end with a signature line')
  const lines = tail.slice(0, -1).split('\n')
  demand(lines.length <= 64, 'a note has too many signatures')
  const signatures = lines.map((line) => {
    const parts = line.split(' ')
    demand(parts.length === 3 && parts[0] === '\u2014' && KEY_NAME.test(parts[1]), 'a signature line is malformed')
    const value = base64(parts[2], 'a signature')
    demand(value.length > 4, 'a signature is empty')
    return { name: parts[1], id: value.subarray(0, 4), value: value.subarray(4) }
  })
  return { body, signatures }
}

const DECIMAL = /^(?:0|[1-9][0-9]*)$/

function decimal(text, what) {
  demand(DECIMAL.test(text) && text.length <= 19, `${what} is not a decimal number`)
  return BigInt(text)
}

export function parseCheckpoint(bytes) {
  const { body, signatures } = parseNote(bytes)
  const lines = body.slice(0, -1).split('\n')
  demand(lines.length >= 3, 'a checkpoint has three lines')
  demand(lines.length === 3, lines.includes('') ? 'a checkpoint has an empty line' : 'a checkpoint has extension lines')
  demand(lines[0] !== '', 'a checkpoint names no origin')
  const size = decimal(lines[1], "a checkpoint's size")
  const root = base64(lines[2], "a checkpoint's root")
  demand(root.length === 32, "a checkpoint's root has another length")
  demand(size !== 0n || same(root, sha256()), 'the root of the empty tree is another one')
  return { origin: lines[0], size, root, body: Buffer.from(body), signatures }
}

// Known are the keys of the log that the checkpoint names, and the witnesses'. Every line of a known key must verify;
// at least one must be the log's.
export function checkCheckpoint(bytes, trust) {
  const checkpoint = parseCheckpoint(bytes)
  const known = trust.logs.filter((log) => log.name === checkpoint.origin)
  demand(known.length > 0, `nobody trusted names the log ${checkpoint.origin}`)
  let signed = false
  const cosigned = new Set()
  for (const signature of checkpoint.signatures) {
    const of = (key) => key.name === signature.name && same(key.id, signature.id)
    for (const log of known.filter(of)) {
      demand(
        signature.value.length === 64 && signedBy(log, checkpoint.body, signature.value),
        `the signature of ${log.name} is wrong`,
      )
      signed = true
    }
    for (const witness of trust.witnesses.filter((w) => of(w.key))) {
      demand(signature.value.length === 72, 'a cosignature has another length')
      const time = signature.value.readBigUInt64BE(0)
      demand(time < 1n << 63n, 'a cosignature has a time beyond all times')
      const message = Buffer.concat([Buffer.from(`cosignature/v1\ntime ${time}\n`), checkpoint.body])
      demand(signedBy(witness.key, message, signature.value.subarray(8)), `the cosignature of ${witness.key.name} is wrong`)
      cosigned.add(witness.name)
    }
  }
  demand(signed, 'the log did not sign this checkpoint')
  checkpoint.quorum = trust.quorum(cosigned)
  return checkpoint
}

// -------------------------------------------------------------------------------------------------- tlog-policy

export function parsePolicy(bytes) {
  for (const byte of bytes) {
    demand(byte === 9 || byte === 10 || (byte >= 0x20 && byte !== 0x7f), 'the policy has an octet that is not allowed')
  }
  // One character an octet: names are opaque octets.
  const text = bytes.toString('latin1')
  const logs = []
  const witnesses = []
  const rules = new Map()
  const members = new Set()
  let quorum
  const duplicate = (keys, key) => keys.some((other) => same(other.raw, key.raw))
  const key = (word, type) => verifierKey(utf8(Buffer.from(word, 'latin1'), 'a verifier key'), type)
  const define = (name, rule) => {
    demand(name !== 'none' && !rules.has(name), 'a name of the policy is taken')
    rules.set(name, rule)
  }
  for (const line of text.split('\n')) {
    const words = line.split(/[ \t]+/).filter((word) => word !== '')
    if (words.length === 0 || words[0].startsWith('#')) continue
    if (words[0] === 'log') {
      demand(words.length === 2 || words.length === 3, 'a log line of the policy is malformed')
      const log = key(words[1], ED25519)
      demand(!duplicate(logs, log), 'the policy names a log twice')
      logs.push(log)
    } else if (words[0] === 'witness') {
      demand(words.length === 3 || words.length === 4, 'a witness line of the policy is malformed')
      const witness = { name: words[1], key: key(words[2], COSIGNATURE) }
      demand(!duplicate(witnesses.map((other) => other.key), witness.key), 'the policy names a witness twice')
      witnesses.push(witness)
      define(words[1], (cosigned) => cosigned.has(witness.name))
    } else if (words[0] === 'group') {
      demand(words.length >= 4, 'a group line of the policy is malformed')
      const names = words.slice(3)
      for (const name of names) {
        demand(rules.has(name), 'a group has a member that is not defined')
        demand(!members.has(name), 'a name is a member twice')
        members.add(name)
      }
      let k
      if (words[2] === 'any') k = 1
      else if (words[2] === 'all') k = names.length
      else {
        demand(/^[1-9][0-9]{0,8}$/.test(words[2]), "a group's number is not a decimal number")
        k = Number(words[2])
      }
      demand(k <= names.length, 'a group demands more members than it has')
      const parts = names.map((name) => rules.get(name))
      define(words[1], (cosigned) => parts.filter((rule) => rule(cosigned)).length >= k)
    } else if (words[0] === 'quorum') {
      demand(words.length === 2, 'the quorum line of the policy is malformed')
      demand(quorum === undefined, 'the policy has two quorums')
      quorum = words[1] === 'none' ? () => false : rules.get(words[1])
      demand(quorum !== undefined, 'the quorum is not defined')
    } else throw new Refused('the policy has a line of an unknown kind')
  }
  demand(quorum !== undefined, 'the policy has no quorum')
  return { logs, witnesses, quorum }
}

// --------------------------------------------------------------------------------------------------- tlog-proof

export function parseProof(bytes) {
  const text = utf8(bytes, 'a proof')
  const lines = text.split('\n')
  let at = 0
  demand(lines[at++] === 'c2sp.org/tlog-proof@v1', 'not a tlog-proof')
  if (lines[at]?.startsWith('extra ')) base64(lines[at++].slice(6), 'extra data')
  demand(lines[at]?.startsWith('index '), 'a proof has no index')
  const index = decimal(lines[at++].slice(6), 'an index')
  const hashes = []
  while (at < lines.length && lines[at] !== '') {
    demand(hashes.length < 64, 'a proof is too long')
    const hash = base64(lines[at++], 'a hash of the proof')
    demand(hash.length === 32, 'a hash of the proof has another length')
    hashes.push(hash)
  }
  demand(at < lines.length, 'a proof has no checkpoint')
  return { index, hashes, checkpoint: Buffer.from(lines.slice(at + 1).join('\n')) }
}

function checkProof(text, leaf, trust) {
  const proof = parseProof(Buffer.from(text, 'utf8'))
  const checkpoint = checkCheckpoint(proof.checkpoint, trust)
  checkInclusion(leafHash(leaf), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
  return { index: proof.index, checkpoint }
}

// ----------------------------------------------------------------------------------------------- format 2: leaf

const LEAF_TYPES = ['act', 'alert', 'close', 'decision', 'erasure', 'open', 'refusal', 'shadow']
const LEAF_FIELDS = [
  'commitment', 'decision_id', 'key_id', 'payload_sha256', 'payload_size', 'policy', 'release', 'retain_until_us',
  'time_us', 'type', 'v',
]

export function parseLeaf(bytes) {
  const leaf = fields(canonical(bytes, 1024, 'a leaf'), LEAF_FIELDS, 'a leaf')
  demand(leaf.v === 1, 'a leaf is of another version')
  demand(isHex(leaf.commitment, 64), "a leaf's commitment")
  demand(isHex(leaf.decision_id, 32), "a leaf's decision id")
  demand(isHex(leaf.payload_sha256, 64), "a leaf's payload digest")
  for (const name of ['policy', 'release']) demand(leaf[name] === null || isHex(leaf[name], 64), `a leaf's ${name}`)
  for (const name of ['payload_size', 'retain_until_us', 'time_us']) {
    demand(isCount(leaf[name]) && leaf[name] < 9e15, `a leaf's ${name}`)
  }
  demand(LEAF_TYPES.includes(leaf.type), 'a leaf is of an unknown type')
  const plain = leaf.type === 'open' || leaf.type === 'close'
  demand(leaf.key_id === 'none' || isHex(leaf.key_id, 32, 64), "a leaf's key id")
  demand(leaf.key_id !== 'none' || plain, 'a leaf that must be sealed names no key')
  return leaf
}

// ----------------------------------------------------------------------------------------- openings and closings

const PART = /^[a-z0-9]+(?:[.-][a-z0-9]+)*$/

export function parseOrigin(origin) {
  const parts = isText(origin) ? origin.split('/') : []
  demand(parts.length === 6, 'an origin has six parts')
  for (const part of parts.slice(0, 5)) demand(part.length <= 63 && PART.test(part), 'a part of an origin is malformed')
  demand(/^[1-9][0-9]{0,8}$/.test(parts[5]), "an origin's generation is malformed")
  return { slot: parts.slice(0, 5).join('/'), generation: Number(parts[5]) }
}

const PLAIN_HEADER = Buffer.concat([Buffer.from('SRP3\x01\x00\x00\x00', 'latin1'), Buffer.alloc(28)])

export function checkDisclosed(bytes, trust) {
  const disclosed = fields(canonical(bytes, 1 << 26, 'a disclosed entry'), ['leaf', 'payload', 'proof'], 'a disclosed entry')
  const leafBytes = base64(disclosed.leaf, 'a leaf')
  const payload = base64(disclosed.payload, 'a payload')
  demand(isText(disclosed.proof), 'a proof is no text')
  const leaf = parseLeaf(leafBytes)
  demand(leaf.type === 'open' || leaf.type === 'close', 'only openings and closings are disclosed')
  demand(leaf.key_id === 'none', 'the leaf of a plain entry names a key')
  demand(leaf.payload_size === payload.length, "the payload's size is not the leaf's")
  demand(leaf.payload_sha256 === sha256(payload).toString('hex'), "the payload's digest is not the leaf's")
  demand(payload.length >= 36 && same(payload.subarray(0, 36), PLAIN_HEADER), 'the payload is not plain')
  const document = canonical(payload.subarray(36), 1 << 16, 'an opening or closing')
  const opening = leaf.type === 'open'
  fields(document, opening ? ['generation', 'opened_us', 'origin', 'type', 'v', 'vkey']
    : ['closed_us', 'origin', 'root', 'size', 'type', 'v'], 'an opening or closing')
  demand(document.v === 1 && document.type === leaf.type, 'the document is of another type or version')
  const origin = parseOrigin(document.origin)
  demand(Number.isSafeInteger(opening ? document.opened_us : document.closed_us), 'the time of an opening or closing')
  const entry = { type: leaf.type, origin: document.origin, ...origin, leaf: leafBytes }
  if (opening) {
    demand(document.generation === origin.generation, "the generation is not the origin's")
    demand(isText(document.vkey), 'a verifier key is no text')
    entry.key = verifierKey(document.vkey, ED25519)
    demand(entry.key.name === document.origin, "the key's name is not the origin")
  } else {
    demand(Number.isSafeInteger(document.size) && isHex(document.root, 64), 'the size or root of a closing')
    Object.assign(entry, { size: document.size, root: document.root })
  }
  const { index, checkpoint } = checkProof(disclosed.proof, leafBytes, trust)
  return Object.assign(entry, { index, log: checkpoint.origin })
}

// The policy, and the shards that entries disclosed from its logs have opened.
export function trustOf(policyBytes, openings) {
  const policy = parsePolicy(policyBytes)
  const entries = Object.values(openings).map((bytes) => checkDisclosed(bytes, policy))
  const opened = entries.filter((entry) => entry.type === 'open')
  return { ...policy, governance: policy.logs, logs: [...policy.logs, ...opened.map((entry) => entry.key)], entries }
}

// ---------------------------------------------------------------------------------------------------- receipts

function tensors(list, what) {
  demand(Array.isArray(list), `${what} is no list`)
  for (const tensor of list) {
    fields(tensor, ['data', 'datatype', 'name', 'shape'], `a tensor of ${what}`)
    demand(isText(tensor.name) && isText(tensor.datatype), `a tensor of ${what}`)
    demand(Array.isArray(tensor.shape) && tensor.shape.every(Number.isSafeInteger), `a shape of ${what}`)
    base64(tensor.data, `data of ${what}`)
  }
}

export function parseAnswerDocument(bytes) {
  const document = fields(
    canonical(bytes, 1 << 22, 'an answer document'),
    ['columns', 'decision', 'decision_id', 'inputs', 'manifest', 'model', 'outputs', 'reasons', 'release', 'status', 'v'],
    'an answer document',
    ['instead_of', 'explanation'],
  )
  demand(document.v === 1, 'an answer document of another version')
  demand(isHex(document.decision_id, 32), "an answer document's decision id")
  demand(document.status === 'answered' || document.status === 'refused', "an answer document's status")
  for (const name of ['model', 'manifest', 'release', 'decision']) {
    demand(document[name] === null || isText(document[name]), `an answer document's ${name}`)
  }
  tensors(document.inputs, 'inputs')
  tensors(document.outputs, 'outputs')
  demand(Array.isArray(document.columns) && document.columns.every(isText), "an answer document's columns")
  demand(Array.isArray(document.reasons), "an answer document's reasons")
  for (const reason of document.reasons) {
    fields(reason, ['code', 'field', 'rule'], 'a reason')
    demand(isText(reason.code) && isText(reason.field) && isText(reason.rule), 'a reason')
  }
  if (document.status === 'refused') {
    demand(document.inputs.length === 0 && document.outputs.length === 0, 'a refusal with tensors')
  }
  if ('instead_of' in document) {
    const other = fields(document.instead_of, ['manifest', 'release', 'rule'], 'instead_of')
    demand(document.status === 'answered', 'instead_of in a refusal')
    demand(isHex(other.manifest, 64) && isHex(other.release, 64), 'instead_of')
    demand(other.rule === 'runtime' || other.rule === 'output-contract', "instead_of's rule")
    if (other.release === document.release) {
      demand(document.outputs.length === 0 && document.decision !== null, 'no model answered: a decision and no outputs')
    }
  }
  if ('explanation' in document) {
    demand(document.status === 'answered', 'an explanation of a refusal')
    checkExplanation(document.explanation)
  }
  return document
}

const FLOAT = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?$/

function checkExplanation(explanation) {
  const names = ['base', 'code_map', 'codes', 'contributions', 'gap', 'method', 'reference']
  fields(explanation, names, 'an explanation')
  const texts = [explanation.base, explanation.gap, explanation.code_map, explanation.method, explanation.contributions]
  demand(texts.every(isText) && isHex(explanation.reference, 64), 'an explanation is malformed')
  demand(Array.isArray(explanation.codes) && explanation.codes.every(isText), 'codes are malformed')
  const bytes = Buffer.from(explanation.contributions, 'base64')
  const floats = bytes.toString('base64') === explanation.contributions && bytes.length % 8 === 0
  demand(floats && FLOAT.test(explanation.base) && FLOAT.test(explanation.gap), 'figures of an explanation are none')
}

export function checkReceipt(bytes, trust, { request, answer, row = 0, cosigned = false } = {}) {
  const receipt = fields(canonical(bytes, 1 << 22, 'a receipt'), ['document', 'leaf', 'proof', 'salt', 'v'], 'a receipt')
  demand(receipt.v === 1, 'a receipt of another version')
  demand(isText(receipt.proof), 'a proof is no text')
  const documentBytes = base64(receipt.document, 'the document')
  const leafBytes = base64(receipt.leaf, 'the leaf')
  const salt = base64(receipt.salt, 'the salt')
  demand(salt.length === 32, 'the salt has another length')
  const { index, checkpoint } = checkProof(receipt.proof, leafBytes, trust)
  const leaf = parseLeaf(leafBytes)
  const commitment = crypto.createHmac('sha256', salt).update(documentBytes).digest('hex')
  demand(commitment === leaf.commitment, 'the commitment does not open to this document')
  const document = parseAnswerDocument(documentBytes)
  demand(document.decision_id === leaf.decision_id, "the document's decision is not the leaf's")
  demand(document.release === leaf.release, "the document's release is not the leaf's")
  demand(leaf.type === { answered: 'decision', refused: 'refusal' }[document.status], "the status is not the leaf's type")
  if (cosigned) demand(checkpoint.quorum, 'no quorum of witnesses cosigned the checkpoint in this receipt')
  if (answer !== undefined) checkAnswer(json(answer, 'the answer'), document, row)
  if (request !== undefined) checkRequest(json(request, 'the request'), document, row)
  return { decision: leaf.decision_id, origin: checkpoint.origin, index, quorum: checkpoint.quorum }
}

// -------------------------------------------------------------------- requests and answers, Open Inference Protocol

function encode(datatype, value) {
  if (datatype === 'FP32' || datatype === 'FP64') {
    demand(typeof value !== 'boolean', 'a truth value is no number')
    demand(value === null || value instanceof Numeral, 'a number is expected')
    // a whole number has no minus zero
    const number = value === null ? Number.NaN : Number(value.raw === '-0' ? '0' : value.raw)
    const fits = datatype === 'FP64' || !Number.isFinite(number) || Number.isFinite(Math.fround(number))
    demand(fits && !(/^-?[0-9]+$/.test(value?.raw) && !Number.isFinite(number)), 'a number out of range')
    const out = Buffer.alloc(datatype === 'FP32' ? 4 : 8)
    if (datatype === 'FP32') out.writeFloatLE(number)
    else out.writeDoubleLE(number)
    return out
  }
  demand(datatype === 'INT32' || datatype === 'INT64', `numbers of type ${datatype} cannot be compared`)
  demand(typeof value !== 'boolean', 'a truth value is no number')
  demand(value instanceof Numeral && /^-?[0-9]+$/.test(value.raw), 'a whole number is expected')
  const number = BigInt(value.raw)
  const width = datatype === 'INT32' ? 4 : 8
  demand(BigInt.asIntN(8 * width, number) === number, 'a number out of range')
  const out = Buffer.alloc(8)
  out.writeBigInt64LE(number)
  return out.subarray(0, width)
}

const WHOLE = (value) => (value instanceof Numeral && DECIMAL.test(value.raw) && value.raw.length < 10 ? Number(value.raw) : -1)

// The row's values of a tensor as the protocol gives them: data flat or nested, the first dimension the rows.
function rowOf(tensor, row) {
  demand(isMap(tensor) && isText(tensor.name) && isText(tensor.datatype), 'a tensor is malformed')
  demand(Array.isArray(tensor.shape) && tensor.shape.length > 0 && Array.isArray(tensor.data), 'a tensor is malformed')
  const shape = tensor.shape.map(WHOLE)
  demand(shape.every((n) => n >= 0), 'a shape is malformed')
  let flat = tensor.data
  for (let level = 1; level < shape.length && Array.isArray(flat[0]); level++) flat = flat.flat()
  demand(flat.length === shape.reduce((a, b) => a * b, 1), 'the data do not fill the shape')
  demand(row < shape[0], 'there is no such row')
  const width = flat.length / shape[0]
  return flat.slice(row * width, (row + 1) * width)
}

const rowBytes = (tensor, row) => Buffer.concat(rowOf(tensor, row).map((value) => encode(tensor.datatype, value)))

function named(list, what) {
  demand(Array.isArray(list), `${what} are no list`)
  const out = new Map()
  for (const tensor of list) {
    demand(isMap(tensor) && !out.has(tensor.name), `${what} are malformed`)
    out.set(tensor.name, tensor)
  }
  return out
}

function checkRequest(request, document, row) {
  demand(document.status === 'answered', 'the receipt of a refusal is about no request')
  demand(isMap(request), 'the request is no object')
  const given = named(request.inputs, 'inputs')
  const used = new Set()
  const take = (name) => {
    const tensor = given.get(name)
    demand(tensor !== undefined, 'the request lacks an input that was logged')
    used.add(name)
    return tensor
  }
  if (document.columns.length > 0) {
    demand(document.inputs.length === 1, 'columns of more than one tensor')
    const [logged] = document.inputs
    const parts = document.columns.map((name) => {
      const tensor = take(name)
      demand(tensor.datatype === logged.datatype, 'an input is of another type')
      return rowBytes(tensor, row)
    })
    demand(same(Buffer.concat(parts), base64(logged.data, 'data')), 'an input is not the logged one')
  } else {
    for (const logged of document.inputs) {
      const tensor = take(logged.name)
      demand(tensor.datatype === logged.datatype, 'an input is of another type')
      demand(same(rowBytes(tensor, row), base64(logged.data, 'data')), 'an input is not the logged one')
    }
  }
  for (const [name, tensor] of given) {
    demand(used.has(name) || tensor.datatype === 'BYTES', 'the request has an input that was not logged')
  }
  demand(used.size > 0, 'the receipt holds no input')
}

function checkAnswer(answer, document, row) {
  demand(isMap(answer), 'the answer is no object')
  const parameters = answer.parameters ?? Object.create(null)
  demand(isMap(parameters), "the answer's parameters are malformed")
  demand(isHex(parameters.decision_id, 32), 'the answer names no decision')
  const id = BigInt.asUintN(128, BigInt(`0x${parameters.decision_id}`) + BigInt(row))
  demand(id === BigInt(`0x${document.decision_id}`), "the answer's decision id is not the logged one")
  const ofRow = (name) => {
    const list = json(Buffer.from(isText(parameters[name]) ? parameters[name] : ''), `the answer's ${name}`)
    demand(Array.isArray(list) && row < list.length, `the answer's ${name} are malformed`)
    return list[row]
  }
  const names = [[answer.model_name, document.model], [answer.model_version, document.manifest],
    [parameters.model_version, document.manifest], [parameters.release, document.release]]
  if ('model_versions' in parameters) names.push([ofRow('model_versions'), document.manifest])
  if ('releases' in parameters) names.push([ofRow('releases'), document.release])
  for (const [said, logged] of names) {
    demand(said === undefined || said === null || said === logged, 'the answer names another model, version or release')
  }
  if ('instead_of' in document) demand((parameters.instead_of ?? null) !== null, 'the answer does not say which version failed')
  const outputs = named(answer.outputs, 'outputs')
  demand(outputs.size > 0, 'the answer has no output')
  for (const [name, tensor] of outputs) {
    if (name === 'decision') {
      demand(tensor.datatype === 'BYTES', "the answer's decision is of another type")
      const values = rowOf(tensor, row)
      demand(values.length === 1 && values[0] === document.decision, "the answer's decision is not the logged one")
      continue
    }
    if (name === 'reason_codes' && document.explanation) {
      demand(tensor.datatype === 'BYTES', "the answer's reason codes are of another type")
      const codes = rowOf(tensor, row)
      const logged = document.explanation.codes
      const fits = codes.every((code, place) => code === (place < logged.length ? logged[place] : ''))
      demand(fits && codes.length >= logged.length, "the answer's reason codes are not the logged ones")
      continue
    }
    const contributions = { datatype: 'FP64', data: document.explanation?.contributions }
    const logged = name === 'contributions' && document.explanation
      ? contributions : document.outputs.find((other) => other.name === name)
    demand(logged !== undefined, 'the answer has an output that was not logged')
    demand(logged.datatype === tensor.datatype, 'an output is of another type')
    demand(same(rowBytes(tensor, row), base64(logged.data, 'data')), 'an output is not the logged one')
  }
}

// ------------------------------------------------------------------------------------------- logs in tlog-tiles

function tilePath(index) {
  const digits = String(index).padStart(Math.ceil(String(index).length / 3) * 3, '0')
  const parts = digits.match(/.../g)
  return parts.map((part, i) => (i < parts.length - 1 ? `x${part}` : part)).join('/')
}

// The bundle of exactly this width; else a wider one, at most the full one, which begins with it.
function readBundle(read, index, width) {
  const full = `tile/entries/${tilePath(index)}`
  for (let wide = width; wide <= 256; wide++) {
    const bytes = read(wide < 256 ? `${full}.p/${wide}` : full)
    if (bytes !== null) return { bytes, wide }
  }
  throw new Refused(`${full} of width ${width} is missing`)
}

// Every leaf in it is judged, also those behind the checkpoint's size.
function parseBundle({ bytes, wide }, width) {
  const out = []
  let at = 0
  while (at < bytes.length) {
    demand(at + 2 <= bytes.length, 'an entry bundle is cut')
    const length = bytes.readUInt16BE(at)
    demand(at + 2 + length <= bytes.length, 'an entry bundle is cut')
    out.push(bytes.subarray(at + 2, at + 2 + length))
    at += 2 + length
  }
  out.forEach(parseLeaf)
  demand(out.length >= width, 'an entry bundle has too few entries')
  demand(out.length === wide, 'an entry bundle has another width than its name')
  return out.slice(0, width)
}

// Openings and closings share their id with the sealed entry behind them; else an id has one line.
function checkOnce(leaves) {
  const ids = new Set()
  for (const { type, decision_id: id } of leaves.map(parseLeaf)) {
    if (type === 'open' || type === 'close') continue
    demand(!ids.has(id), `decision ${id} stands twice in the log`)
    ids.add(id)
  }
}

export function checkLog(read, trust, { cosigned = false } = {}) {
  const note = read('checkpoint')
  demand(note !== null, 'the log has no checkpoint')
  const checkpoint = checkCheckpoint(note, trust)
  demand(checkpoint.size < 1n << 40n, 'the log is too large')
  const size = Number(checkpoint.size)
  const leaves = []
  for (let start = 0; start < size; start += 256) {
    const width = Math.min(256, size - start)
    for (const leaf of parseBundle(readBundle(read, start / 256, width), width)) {
      leaves.push(leaf)
    }
  }
  checkOnce(leaves)
  const hashes = leaves.map(leafHash)
  demand(same(treeHash(hashes), checkpoint.root), 'the entries are not those of the checkpoint')
  const log = { origin: checkpoint.origin, size, root: checkpoint.root, leaves, hashes, quorum: checkpoint.quorum }
  const earlier = read('checkpoint.cosigned')
  if (earlier !== null) {
    const other = checkCheckpoint(earlier, trust)
    checkExtends(log, other)
    log.quorum ||= other.quorum
  }
  if (cosigned) demand(log.quorum, 'no quorum of witnesses cosigned this log')
  return log
}

export function checkExtends(log, older) {
  demand(older.origin === log.origin, 'the checkpoint is of another log')
  demand(older.size <= BigInt(log.size), 'the log is shorter than it was')
  const root = treeHash(log.hashes, 0, Number(older.size))
  demand(same(root, older.root), 'the log does not extend what was seen')
}

export function checkShards(readGovernance, readShards, trust, { cosigned = false, seen = {} } = {}) {
  const governance = checkLog(readGovernance, { ...trust, logs: trust.governance }, { cosigned })
  const disclosed = new Map()
  for (const entry of trust.entries) {
    const place = Number(entry.index)
    demand(entry.log === governance.origin, 'an entry is of another log than the governance shown')
    demand(!disclosed.has(place), `entry ${place} of the governance log is disclosed twice`)
    demand(place < governance.size && same(governance.leaves[place], entry.leaf), 'an entry is of another history')
    disclosed.set(place, entry)
  }
  const opened = new Map()
  const closed = new Map()
  governance.leaves.forEach((bytes, place) => {
    const { type } = parseLeaf(bytes)
    if (type !== 'open' && type !== 'close') return
    const entry = disclosed.get(place)
    demand(entry !== undefined, `entry ${place} of the governance log was not disclosed`)
    if (type === 'open') {
      demand(!opened.has(entry.origin), `${entry.origin} was opened twice`)
      opened.set(entry.origin, entry)
    } else {
      demand(!closed.has(entry.origin), `${entry.origin} was closed twice`)
      demand(opened.has(entry.origin), `${entry.origin} was closed before it was opened`)
      closed.set(entry.origin, entry)
    }
  })
  const logs = new Map()
  for (const read of readShards) {
    const log = checkLog(read, trust, { cosigned })
    demand(opened.has(log.origin), `${log.origin} was never opened`)
    demand(!logs.has(log.origin), `${log.origin} is shown twice`)
    logs.set(log.origin, log)
  }
  for (const origin of opened.keys()) demand(logs.has(origin), `${origin} was opened, but is not shown`)
  for (const [origin, entry] of closed) {
    const log = logs.get(origin)
    demand(log.size === entry.size && log.root.toString('hex') === entry.root, `${origin} is not what was closed`)
  }
  for (const [origin, entry] of opened) {
    const later = [...opened.values()].filter((other) => other.slot === entry.slot && other.generation > entry.generation)
    const continued = later.some((other) => logs.get(other.origin).size > 0)
    demand(!continued || closed.has(origin), `${origin} was continued, but never closed`)
  }
  for (const [name, bytes] of Object.entries(seen)) {
    const checkpoint = checkCheckpoint(bytes, trust)
    const log = checkpoint.origin === governance.origin ? governance : logs.get(checkpoint.origin)
    demand(log !== undefined, `${name} is of a log that is not shown`)
    checkExtends(log, checkpoint)
  }
  return [...logs.values()].map((log) => `${log.origin}: ${log.size} entries, ${closed.has(log.origin) ? 'closed' : 'open'}`)
}

// ------------------------------------------------------------------------------------------------- command line

class Usage extends Error {}

function readFile(name) {
  try {
    return fs.readFileSync(name)
  } catch (error) {
    throw new Usage(`${name}: ${error.code}`)
  }
}

const folderReader = (folder) => {
  if (!fs.existsSync(folder)) throw new Usage(`${folder}: no such folder`)
  return (name) => {
    const file = path.join(folder, name)
    return fs.existsSync(file) ? fs.readFileSync(file) : null
  }
}

function readFolder(folder, ending = '') {
  const out = {}
  let names
  try {
    names = fs.readdirSync(folder).filter((name) => name.endsWith(ending)).sort()
  } catch (error) {
    throw new Usage(`${folder}: ${error.code}`)
  }
  for (const name of names) out[name] = readFile(path.join(folder, name))
  return out
}

function command(argv) {
  const options = {}
  const words = []
  for (let i = 0; i < argv.length; i++) {
    if (argv[i] === '--cosigned') options.cosigned = true
    else if (/^--(policy|openings|request|answer|row|seen|proof)$/.test(argv[i])) options[argv[i].slice(2)] = argv[++i]
    else words.push(argv[i])
  }
  const [verb, ...names] = words
  const needed = { receipt: 1, log: 1, consistency: 2 }[verb]
  if (!options.policy || (verb !== 'shards' && names.length !== needed) || (verb === 'shards' && names.length < 1)) {
    throw new Usage('see the head of this file')
  }
  const openings = options.openings ? readFolder(options.openings, '.json') : {}
  const policy = readFile(options.policy)
  if (verb === 'receipt') {
    const receipt = readFile(names[0])
    const more = { cosigned: options.cosigned, row: Number(options.row ?? 0) }
    if (!isCount(more.row)) throw new Usage('--row takes a number from 0')
    for (const name of ['request', 'answer']) if (options[name]) more[name] = readFile(options[name])
    const got = checkReceipt(receipt, trustOf(policy, openings), more)
    return [`decision ${got.decision} of ${got.origin}, entry ${got.index}: verified`]
  }
  if (verb === 'consistency' && options.proof) {
    const known = trustOf(policy, openings)
    const [older, newer] = names.map((name) => checkCheckpoint(readFile(name), known))
    const lines = utf8(readFile(options.proof), 'a consistency proof').split(/\r?\n/)
    if (lines.at(-1) === '') lines.pop()
    checkConsistencyLines(older, newer, lines)
    return [`${newer.origin}: ${newer.size} entries extend the ${older.size} of before`]
  }
  const readers = names.slice(verb === 'consistency' ? 1 : 0).map(folderReader)
  const trust = () => trustOf(policy, openings)
  if (verb === 'shards') {
    const seen = options.seen ? readFolder(options.seen) : {}
    return checkShards(readers[0], readers.slice(1), trust(), { cosigned: options.cosigned, seen })
  }
  const older = verb === 'consistency' ? readFile(names[0]) : undefined
  const known = trust()
  const log = checkLog(readers[0], known, verb === 'log' ? options : {})
  if (older === undefined) return [`${log.origin}: ${log.size} entries verified, root ${log.root.toString('hex')}`]
  const checkpoint = checkCheckpoint(older, known)
  checkExtends(log, checkpoint)
  return [`${log.origin}: ${log.size} entries extend the ${checkpoint.size} of before`]
}

// One judgement a line. Texts are given as base 64 of their bytes, folders as maps of them.
function judge(job) {
  const bytes = (text) => (text === undefined || text === null ? undefined : Buffer.from(text, 'base64'))
  const map = (files) => Object.fromEntries(Object.entries(files ?? {}).map(([name, text]) => [name, bytes(text)]))
  const reader = (files) => {
    const got = map(files)
    return (name) => got[name] ?? null
  }
  const { op, cosigned = false } = job
  if (op === 'argv') return command(job.argv)
  if (op === 'parse') return canonical(bytes(job.bytes), 1 << 26, 'a document') === undefined
  if (op === 'leaf') return parseLeaf(bytes(job.bytes))
  if (op === 'vkey') return verifierKey(bytes(job.bytes).toString(), job.type).name
  if (op === 'policy') return parsePolicy(bytes(job.bytes)).logs.length
  const trust = trustOf(bytes(job.policy), map(job.openings))
  if (op === 'disclosed') return checkDisclosed(bytes(job.bytes), trust).type
  if (op === 'checkpoint') {
    const checkpoint = checkCheckpoint(bytes(job.bytes), trust)
    return { size: Number(checkpoint.size), root: checkpoint.root.toString('hex'), quorum: checkpoint.quorum }
  }
  if (op === 'receipt') {
    const { row = 0 } = job
    const got = checkReceipt(bytes(job.bytes), trust, { request: bytes(job.request), answer: bytes(job.answer), row, cosigned })
    return got.decision
  }
  if (op === 'log') return checkLog(reader(job.files), trust, { cosigned }).size
  if (op === 'proof') {
    const [older, newer] = [job.older, job.newer].map((note) => checkCheckpoint(bytes(note), trust))
    checkConsistencyLines(older, newer, job.proof)
    return true
  }
  if (op === 'shards') {
    return checkShards(reader(job.governance), job.shards.map(reader), trust, { cosigned, seen: map(job.seen) })
  }
  throw new Error(`unknown op ${op}`)
}

async function batch() {
  for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    let verdict
    try {
      verdict = { holds: true, got: judge(JSON.parse(line)) }
    } catch (error) {
      if (error instanceof Refused) verdict = { holds: false, why: error.message }
      else if (error instanceof Usage) verdict = { usage: error.message }
      else verdict = { error: String(error.stack) }
    }
    process.stdout.write(`${JSON.stringify(verdict)}\n`)
  }
}

function main(argv) {
  try {
    process.stdout.write(`${command(argv).join('\n')}\n`)
    return 0
  } catch (error) {
    if (error instanceof Refused) {
      process.stderr.write(`NOT VERIFIED: ${error.message}\n`)
      return 4
    }
    if (!(error instanceof Usage)) throw error
    process.stderr.write(`${error.message}\n`)
    return 2
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  if (process.argv[2] === 'batch') await batch()
  else process.exitCode = main(process.argv.slice(2))
}
