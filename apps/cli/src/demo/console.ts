// The guest's console inside a report: each line behind a gutter, so that one sees whose words they are; and the words
// themselves kept, to look for the guest's verdict.
import type { ConsoleBackend } from "@minivmm/vmm";
import type { OutputStream } from "../io.ts";
import type { Style } from "../render/style.ts";

export class GutterConsole implements ConsoleBackend {
  private readonly stream: OutputStream;
  private readonly gutter: string;
  private readonly decoder = new TextDecoder();
  private readonly seen: string[] = [];
  private rest = "";

  private readonly onLine: (line: string) => void;

  /** `onLine` hears every complete line as it comes. */
  constructor(stream: OutputStream, style: Style, onLine: (line: string) => void = () => undefined) {
    this.stream = stream;
    this.onLine = onLine;
    this.gutter = `  ${style.dim("│")} `;
  }

  /** Complete lines so far. */
  get lines(): readonly string[] {
    return this.seen;
  }

  write(bytes: Uint8Array): void {
    const lines = (this.rest + this.decoder.decode(bytes, { stream: true })).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines) this.show(line);
  }

  /** Shows a last line that was not ended. */
  finish(): void {
    if (this.rest !== "") this.show(this.rest);
    this.rest = "";
  }

  private show(line: string): void {
    // The guest must not move the user's cursor.
    const text = [...line].filter((character) => character >= " " || character === "\t").join("");
    this.seen.push(text);
    this.onLine(text);
    this.stream.write(`${this.gutter}${text}\n`.replace(/ +\n$/, "\n"));
  }
}
