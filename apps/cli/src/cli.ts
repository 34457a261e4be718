// The command line as a whole: which command, its options and words through the tables, help, and errors to exit statuses.
import { readFileSync } from "node:fs";
import { COMMAND_TABLE, type Command, type Work } from "./commands.ts";
import { EXIT_OK, exitStatusOf, renderError, usageError } from "./errors.ts";
import type { CliIo } from "./io.ts";
import { parseArgv } from "./options/argv.ts";
import { givenFrom } from "./options/given.ts";
import { suggestion } from "./options/suggest.ts";
import { COMMANDS, type CommandName, ROOT_OPTIONS, TABLES } from "./options/table.ts";

const DEBUG = /^--?debug$/;
const SEE_HELP = "minivmm --help lists commands and options";

/** Runs the command line. Resolves with the exit status; every error has been rendered by then. */
export async function main(argv: readonly string[], io: CliIo): Promise<number> {
  try {
    const work = await parseCommandLine(argv);
    return await work(io);
  } catch (error) {
    io.stderr.write(renderError(error, { debug: argv.some((word) => DEBUG.test(word)) }));
    return exitStatusOf(error);
  }
}

/** Everything that can be said about a command line without doing anything. Rejects with CliError USAGE_OPTION. */
export async function parseCommandLine(argv: readonly string[]): Promise<Work> {
  const { name, rest } = splitCommand(argv);
  const { options, words } = parseArgv(rest, name === undefined ? ROOT_OPTIONS : TABLES[name]);
  const given = givenFrom(options);
  if (given.flag("version")) return (io) => print(io, version());
  if (name === undefined || given.flag("help")) {
    return async (io) => print(io, await (await import("./help.ts")).helpText(name));
  }
  const command = COMMAND_TABLE[name];
  refuseSuperfluous(command, words);
  return await command.read(given, words);
}

/** QEMU has no commands: a command line that begins with an option is one for `run`. */
function splitCommand(argv: readonly string[]): { name: CommandName | undefined; rest: readonly string[] } {
  const options = argv.filter((word) => !DEBUG.test(word));
  const [first = "--help", ...rest] = options.length === 0 ? ["--help"] : argv;
  if ((COMMANDS as readonly string[]).includes(first)) return { name: first as CommandName, rest };
  if (first === "help") return { name: undefined, rest: ["--help"] };
  if (/^--?(h|help|version)$/.test(first)) return { name: undefined, rest: [first] };
  if (first.startsWith("-")) return { name: "run", rest: argv };
  throw usageError(`unknown command "${first}"`, suggestion(first, COMMANDS, `commands: ${COMMANDS.join(", ")}`));
}

function refuseSuperfluous({ words: known = [] }: Command, words: readonly string[]): void {
  if (known.some(({ many }) => many)) return;
  const superfluous = words.slice(known.length);
  if (superfluous.length === 0) return;
  throw usageError(`unknown argument${superfluous.length > 1 ? "s" : ""}: ${superfluous.join(", ")}`, SEE_HELP);
}

function print({ stdout }: CliIo, text: string): number {
  stdout.write(`${text}\n`);
  return EXIT_OK;
}

function version(): string {
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  return String(manifest.version);
}
