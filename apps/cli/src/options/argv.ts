// QEMU's command line, made regular: long options with one dash or two, values in the next word (taken verbatim, even
// when they begin with a dash) or behind "=". The result has one word per option, `--name=value`, which any parser reads.
// Invariants: words are never split, joined or reordered; normalising twice gives the same as once.
import { usageError } from "../errors.ts";
import { suggestion } from "./suggest.ts";
import type { OptionSpec, OptionTable } from "./table.ts";

export interface ParsedOption {
  readonly name: string;
  /** Absent for an option without value. */
  readonly value?: string;
}

export interface ParsedArgv {
  readonly options: readonly ParsedOption[];
  /** Words that are no options, in order. */
  readonly words: readonly string[];
}

function findOption(table: OptionTable, name: string): OptionSpec | undefined {
  return table.find((spec) => spec.name === name || spec.aliases?.includes(name));
}

const HELP_NAMES = new Set(["help", "h", "version"]);
const shown = (name: string): string => `-${name}`;

/** Reads a command's words. Throws CliError USAGE_OPTION for an unknown option or a missing value. */
export function parseArgv(argv: readonly string[], table: OptionTable): ParsedArgv {
  const options: ParsedOption[] = [];
  const words: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] as string;
    if (word === "--") {
      words.push(...argv.slice(i + 1));
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      words.push(word);
      continue;
    }
    const body = word.replace(/^--?/, "");
    const equals = body.indexOf("=");
    const name = equals < 0 ? body : body.slice(0, equals);
    const inline = equals < 0 ? undefined : body.slice(equals + 1);
    if (HELP_NAMES.has(name) && inline === undefined) {
      options.push({ name: name === "h" ? "help" : name });
      continue;
    }
    const spec = findOption(table, name);
    if (spec === undefined) throw unknownOption(name, table);
    if (spec.value === undefined) {
      if (inline !== undefined)
        throw usageError(`option ${shown(spec.name)} takes no value`, `write ${shown(spec.name)}`);
      options.push({ name: spec.name });
    } else {
      const value = inline ?? argv[++i];
      if (value === undefined) {
        throw usageError(`option ${word} needs a value`, `write ${shown(spec.name)} ${spec.value}`);
      }
      options.push({ name: spec.name, value });
    }
  }
  return { options, words };
}

function unknownOption(name: string, table: OptionTable): Error {
  const names = table.flatMap((spec) => [spec.name, ...(spec.aliases ?? [])]);
  const hint = suggestion(name, [...names, "help", "version"], "minivmm run --help lists the options", shown);
  return usageError(`unknown option ${shown(name)}`, hint, { option: name });
}

/** The same command line with every option in the one spelling `--name` or `--name=value`, behind the words. */
export function normaliseArgv(argv: readonly string[], table: OptionTable): string[] {
  const { options, words } = parseArgv(argv, table);
  const spelled = options.map(({ name, value }) => (value === undefined ? `--${name}` : `--${name}=${value}`));
  const plain = words.every((word) => !word.startsWith("-") || word === "-");
  return plain ? [...words, ...spelled] : [...spelled, "--", ...words];
}
