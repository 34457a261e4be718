// The command line as a whole: which command, its options through the tables, help, and errors to exit statuses.
// The normaliser reads QEMU's spelling; yargs then has regular words and does commands, strictness and help.
import { readFileSync } from "node:fs";
import yargs, { type Argv } from "yargs";
import { attrs } from "./cmds/attrs.ts";
import { bench } from "./cmds/bench.ts";
import { bind } from "./cmds/bind.ts";
import { demo } from "./cmds/demo.ts";
import { devices } from "./cmds/devices.ts";
import { doctor } from "./cmds/doctor.ts";
import { type ImageRequest, image } from "./cmds/image.ts";
import { memlock } from "./cmds/memlock.ts";
import { reset } from "./cmds/reset.ts";
import { run } from "./cmds/run.ts";
import { EXIT_OK, exitStatusOf, renderError, usageError } from "./errors.ts";
import type { CliIo } from "./io.ts";
import { normaliseArgv } from "./options/argv.ts";
import { BENCH_SUBJECTS, parseBench } from "./options/bench-request.ts";
import { parseBind } from "./options/bind-request.ts";
import { parseDescribe } from "./options/describe-request.ts";
import { parseDoctor } from "./options/doctor-request.ts";
import { type Given, givenFrom } from "./options/given.ts";
import { parseHost } from "./options/host.ts";
import { parseReset, RESET_ACTIONS } from "./options/reset-request.ts";
import { parseRun } from "./options/run-options.ts";
import { suggestion } from "./options/suggest.ts";
import { COMMANDS, type CommandName, type OptionTable, ROOT_OPTIONS, TABLES } from "./options/table.ts";

type Work = (io: CliIo) => Promise<number> | number;

const EPILOGUE = "Every long option may be written with one dash or two, as with QEMU.";
const IMAGE_ACTIONS = ["pull", "list", "rm"] as const;
const DEBUG = /^--?debug$/;

/** Runs the command line. Resolves with the exit status; every error has been rendered by then. */
export async function main(argv: readonly string[], io: CliIo): Promise<number> {
  try {
    const work = parseCommandLine(argv);
    return await work(io);
  } catch (error) {
    io.stderr.write(renderError(error, { debug: argv.some((word) => DEBUG.test(word)) }));
    return exitStatusOf(error);
  }
}

/** Everything that can be said about a command line without doing anything. Throws CliError USAGE_OPTION. */
export function parseCommandLine(argv: readonly string[]): Work {
  const { command, rest } = splitCommand(argv);
  const words = normaliseArgv(rest, command === undefined ? ROOT_OPTIONS : TABLES[command]);
  let chosen: Work | undefined;
  const choose = (read: (given: Given, parsed: Readonly<Record<string, unknown>>) => Work) => (parsed: object) => {
    chosen = read(givenFrom(parsed as Record<string, unknown>), parsed as Record<string, unknown>);
  };
  let help = "";
  const parser = commands(yargs(), choose);
  parser.parse(
    [...(command === undefined ? [] : [command]), ...words.map(protect)],
    {},
    (error: Error | undefined, _parsed: unknown, output: string) => {
      if (error) throw error;
      help = output;
    },
  );
  if (chosen !== undefined) return chosen;
  return ({ stdout }) => {
    // The kinds of values are in their names already.
    stdout.write(`${help.replace(/\s*\[(?:array|boolean|string|default: \[\])\]/g, "")}\n`);
    return EXIT_OK;
  };
}

/** QEMU has no commands: a command line that begins with an option is one for `run`. */
function splitCommand(argv: readonly string[]): { command: CommandName | undefined; rest: readonly string[] } {
  const options = argv.filter((word) => !DEBUG.test(word));
  const [first = "--help", ...rest] = options.length === 0 ? ["--help"] : argv;
  if ((COMMANDS as readonly string[]).includes(first)) return { command: first as CommandName, rest };
  if (first === "help") return { command: undefined, rest: ["--help"] };
  if (/^--?(h|help|version)$/.test(first)) return { command: undefined, rest: [first] };
  if (first.startsWith("-")) return { command: "run", rest: argv };
  throw usageError(`unknown command "${first}"`, suggestion(first, COMMANDS, `commands: ${COMMANDS.join(", ")}`));
}

/** The parser takes one pair of quotes off a value; the ones it is given here, so that a value's own stay. */
function protect(word: string): string {
  const equals = word.indexOf("=");
  return word.startsWith("--") && equals > 0 ? `${word.slice(0, equals)}="${word.slice(equals + 1)}"` : word;
}

type Choose = (read: (given: Given, parsed: Readonly<Record<string, unknown>>) => Work) => (parsed: object) => void;

function commands(parser: Argv, choose: Choose): Argv {
  const binder = (action: "bind" | "unbind") =>
    choose((given, { functions }) => {
      const request = parseBind(action, given, Array.isArray(functions) ? functions.map(String) : []);
      return (io) => bind(request, io);
    });
  return parser
    .scriptName("minivmm")
    .usage("minivmm: virtual machines with passed-through PCI devices")
    .parserConfiguration({
      "boolean-negation": false,
      "camel-case-expansion": false,
      "dot-notation": false,
      "greedy-arrays": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
    })
    .command(
      "run",
      "run a virtual machine (the default when options come first)",
      (each) => describe(each, TABLES.run).epilogue(EPILOGUE),
      choose((given) => {
        const request = parseRun(given);
        return (io) => run(request, io);
      }),
    )
    .command(
      "devices",
      "list the PCI functions of a host",
      (each) => describe(each, TABLES.devices),
      choose((given) => {
        const host = parseHost(given.last("host"));
        return (io) => devices(host, given.flag("json"), io);
      }),
    )
    .command(
      "doctor",
      "is this host ready to give devices to a VM, and what to do where it is not",
      (each) => describe(each, TABLES.doctor),
      choose((given) => {
        const request = parseDoctor(given);
        return (io) => doctor(request, io);
      }),
    )
    .command("bind [functions..]", "give functions to vfio-pci", (each) => functions(each, TABLES.bind), binder("bind"))
    .command(
      "unbind [functions..]",
      "give functions back to the host",
      (each) => functions(each, TABLES.unbind),
      binder("unbind"),
    )
    .command(
      "attrs",
      "what memory types a VM's pages have, who pins them, whether DMA snoops",
      (each) => describe(each, TABLES.attrs).epilogue(EPILOGUE),
      choose((given) => {
        const request = parseDescribe(given);
        return (io) => attrs(request, io);
      }),
    )
    .command(
      "memlock",
      "what a VM will have charged as locked memory, against the limit, before it starts",
      (each) => describe(each, TABLES.memlock).epilogue(EPILOGUE),
      choose((given) => {
        const request = parseDescribe(given);
        return (io) => memlock(request, io);
      }),
    )
    .command(
      "reset [action] [functions..]",
      "reset whole slots or buses: plan BDF..., run BDF...",
      (each) =>
        functions(each, TABLES.reset).positional("action", { type: "string", describe: RESET_ACTIONS.join(", ") }),
      choose((given, { action, functions }) => {
        const words = [action, ...(Array.isArray(functions) ? functions : [])].filter((each) => each !== undefined);
        const request = parseReset(given, words.map(String));
        return (io) => reset(request, io);
      }),
    )
    .command(
      "replay [files..]",
      "compare a host with recorded answers of real kernels",
      (each) =>
        describe(each, TABLES.replay).positional("files", {
          type: "string",
          array: true,
          describe: "recordings (.jsonl, .jsonl.gz); none: those that come with minivmm",
        }),
      choose((given) => {
        const host = given.last("host");
        const request = {
          files: given.all("files"),
          cases: given.all("case"),
          json: given.flag("json"),
          ...(host === undefined ? {} : { host: parseHost(host) }),
        };
        // Recordings and the machines that play them are loaded by nobody else.
        return async (io) => (await import("./cmds/replay.ts")).replay(request, io);
      }),
    )
    .command(
      "image [action] [name]",
      "guest kernels: pull NAME, list, rm NAME",
      (each) =>
        describe(each, TABLES.image)
          .positional("action", { type: "string", describe: IMAGE_ACTIONS.join(", ") })
          .positional("name", { type: "string", describe: "debian-ppc64el" }),
      choose((given, parsed) => {
        const request = imageRequest(given, parsed);
        return (io) => image(request, io);
      }),
    )
    .command(
      "bench [subject]",
      "measure what a guest's DMA mappings cost, by who answers its hypercalls: tce",
      (each) =>
        describe(each, TABLES.bench).positional("subject", { type: "string", describe: BENCH_SUBJECTS.join(", ") }),
      choose((given, { subject }) => {
        const request = parseBench(given, typeof subject === "string" ? subject : undefined);
        return (io) => bench(request, io);
      }),
    )
    .command(
      "demo",
      "boot Linux with a passed-through disk on a modelled host",
      (each) => describe(each, TABLES.demo),
      choose((given) => {
        const [cache, summary] = [given.last("cache"), given.last("summary")];
        const request = {
          builtin: given.flag("builtin"),
          kvm: given.flag("enable-kvm"),
          ...(cache === undefined ? {} : { cache }),
          ...(summary === undefined ? {} : { summary }),
        };
        return (io) => demo(request, io);
      }),
    )
    .strict()
    .demandCommand(1)
    .exitProcess(false)
    .showHelpOnFail(false)
    .version(version())
    .alias("help", "h")
    .wrap(100)
    .fail((message, error) => {
      throw error ?? usageError(firstLine(message), "minivmm --help lists commands and options");
    });
}

function imageRequest(given: Given, parsed: Readonly<Record<string, unknown>>): ImageRequest {
  const name = typeof parsed.name === "string" ? parsed.name : undefined;
  const action = IMAGE_ACTIONS.find((each) => each === parsed.action);
  if (action === undefined) {
    const fallback = `write one of ${IMAGE_ACTIONS.map((each) => `minivmm image ${each}`).join(", ")}`;
    const given = typeof parsed.action === "string" ? parsed.action : undefined;
    if (given === undefined) throw usageError("image: no action is given", fallback);
    throw usageError(`image: unknown action "${given}"`, suggestion(given, IMAGE_ACTIONS, fallback));
  }
  const cache = given.last("cache");
  return {
    action,
    json: given.flag("json"),
    ...(name === undefined ? {} : { name }),
    ...(cache === undefined ? {} : { cache }),
  };
}

function functions(parser: Argv, table: OptionTable): Argv {
  const text = "PCI addresses, such as 0000:01:00.0";
  return describe(parser, table).positional("functions", { type: "string", array: true, describe: text });
}

function describe(parser: Argv, table: OptionTable): Argv {
  for (const { name, aliases = [], value, describe: text, group } of table) {
    parser.option(name, {
      alias: [...aliases],
      describe: value === undefined ? text : `${value}: ${text}`,
      ...(value === undefined ? { type: "boolean" as const } : { type: "string" as const, array: true }),
      ...(group === undefined ? {} : { group: `${group}:` }),
    });
  }
  return parser;
}

function firstLine(message: string): string {
  const line = message.split("\n").find((each) => each.trim() !== "") ?? "the command line is not understood";
  return line.charAt(0).toLowerCase() + line.slice(1);
}

function version(): string {
  const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  return String(manifest.version);
}
