// The whole instruction set in one table. Handler 0 is "not decoded yet" and handler 1 leaves the page at its end; both are
// the interpreter's own. Mnemonics without a decoder here are carried out by system.ts or raise an interrupt there.

import { InstructionTable } from "../table.ts";
import { additions } from "./add.ts";
import { branches } from "./branch.ts";
import { compares } from "./compare.ts";
import { logical } from "./logical.ts";
import { memory } from "./memory.ts";
import { multiplyAndDivide } from "./multiply.ts";
import { shifts } from "./shift.ts";
import { systemInstructions } from "./system.ts";

/** Hot handlers first: their indices are what the main function's jump table covers. */
export function instructionTable(): InstructionTable {
  const table = new InstructionTable();
  table.handler("undecoded", "branch", (m) => m.escape);
  table.handler("page end", "branch", (m) => m.leavePage);
  const system = table.handler("system", "cold", (m) => m.escape);
  additions(table);
  multiplyAndDivide(table);
  logical(table);
  shifts(table);
  compares(table);
  memory(table);
  branches(table);
  systemInstructions(table, system);
  table.handlers.sort((x, y) => Number(y.hot) - Number(x.hot));
  return table;
}
