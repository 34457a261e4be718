// The text of `minivmm --help` and of `minivmm COMMAND --help`, which yargs writes from the same tables that the options
// are read with. Only who asks for it waits for yargs.
import yargs, { type Argv } from "yargs";
import { COMMAND_TABLE, type WordSpec } from "./commands.ts";
import { COMMANDS, type CommandName, type OptionTable, TABLES } from "./options/table.ts";

/** Text without a final line end; of the whole when no command is named. */
export async function helpText(command: CommandName | undefined): Promise<string> {
  const parser = yargs()
    .scriptName("minivmm")
    .usage("minivmm: virtual machines with passed-through PCI devices")
    .parserConfiguration({ "boolean-negation": false, "camel-case-expansion": false, "dot-notation": false })
    .version("")
    .alias("help", "h")
    .exitProcess(false)
    .wrap(100);
  for (const name of COMMANDS) {
    const { describe, words = [], epilogue } = COMMAND_TABLE[name];
    parser.command([name, ...words.map(shown)].join(" "), describe, (each) => {
      describeOptions(each, TABLES[name]);
      for (const { name: word, describe: text, many } of words) {
        each.positional(word, { type: "string", describe: text, ...(many === true ? { array: true } : {}) });
      }
      return epilogue === undefined ? each : each.epilogue(epilogue);
    });
  }
  const help = await new Promise<string>((resolve, reject) => {
    const words = [...(command === undefined ? [] : [command]), "--help"];
    parser.parse(words, {}, (error: Error | undefined, _parsed: unknown, output: string) => {
      if (error) reject(error);
      else resolve(output);
    });
  });
  // The kinds of values are in their names already.
  return help.replace(/\s*\[(?:array|boolean|string|default: \[\])\]/g, "");
}

function shown({ name, many }: WordSpec): string {
  return many === true ? `[${name}..]` : `[${name}]`;
}

function describeOptions(parser: Argv, table: OptionTable): void {
  for (const { name, aliases = [], value, describe, group } of table) {
    parser.option(name, {
      alias: [...aliases],
      describe: value === undefined ? describe : `${value}: ${describe}`,
      ...(value === undefined ? { type: "boolean" as const } : { type: "string" as const, array: true }),
      ...(group === undefined ? {} : { group: `${group}:` }),
    });
  }
}
