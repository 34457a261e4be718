// What the tests of the command share: streams that remember, temporary folders, and small guests.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { Assembler, buildElf, PF_R, PF_X, r3, r4, r5, r6, r7 } from "@minivmm/ppc64/asm";
import { afterEach } from "vitest";
import { main } from "../src/cli.ts";
import type { TerminalInput } from "../src/console/terminal.ts";
import type { OutputStream } from "../src/io.ts";

export class Capture extends Writable {
  text = "";
  readonly isTTY: boolean;

  constructor(isTTY = false) {
    super({ decodeStrings: false });
    this.isTTY = isTTY;
  }

  override _write(chunk: string | Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

export class FakeTerminal extends PassThrough {
  readonly isTTY: boolean;
  isRaw = false;
  readonly modes: boolean[] = [];

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  setRawMode(raw: boolean): this {
    this.isRaw = raw;
    this.modes.push(raw);
    return this;
  }
}

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line in this process. */
export async function cli(argv: readonly string[], env: Record<string, string | undefined> = {}): Promise<Outcome> {
  const stdout = new Capture();
  const stderr = new Capture();
  const stdin = new PassThrough() as TerminalInput;
  const out: OutputStream = stdout;
  const status = await main(argv, { stdin, stdout: out, stderr, env: { PATH: process.env.PATH, ...env } });
  return { status, stdout: stdout.text, stderr: stderr.text };
}

const folders: string[] = [];

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "minivmm-test-"));
  folders.push(folder);
  return folder;
}

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

const H_GET_TERM_CHAR = 0x54;
const H_PUT_TERM_CHAR = 0x58;

/** A guest that says "up" and then repeats what is typed, for ever. */
export function echoGuest(): Uint8Array {
  const address = 0x400000;
  const a = new Assembler({ origin: address });
  a.li(r3, H_PUT_TERM_CHAR);
  a.li(r4, 0);
  a.li(r5, 3);
  a.li64(r6, 0x75700a0000000000n);
  a.li(r7, 0);
  a.sc(1);
  a.label("again");
  a.li(r3, H_GET_TERM_CHAR);
  a.li(r4, 0);
  a.sc(1);
  a.cmpdi(r4, 0);
  a.beq("again");
  a.mr(r7, r6);
  a.mr(r6, r5);
  a.mr(r5, r4);
  a.li(r4, 0);
  a.li(r3, H_PUT_TERM_CHAR);
  a.sc(1);
  a.b("again");
  return buildElf({ entry: address, segments: [{ address, bytes: a.bytes(), flags: PF_R | PF_X }] });
}
