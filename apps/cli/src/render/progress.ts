// Progress of a task of several steps: a bar on a terminal, otherwise one plain line a step and every quarter.
import { Presets, SingleBar } from "cli-progress";
import type { OutputStream } from "../io.ts";

export interface Progress {
  step(title: string): void;
  /** Share of the step that is done, 0 to 1. */
  update(share: number): void;
  done(): void;
  /** Leaves the terminal tidy; harmless when nothing is shown. */
  stop(): void;
}

const QUARTER = 0.25;

export function progressOn(stream: OutputStream): Progress {
  return stream.isTTY === true ? new BarProgress(stream) : new LineProgress(stream);
}

export const noProgress: Progress = { step() {}, update() {}, done() {}, stop() {} };

class BarProgress implements Progress {
  private readonly bar: SingleBar;
  private shown = false;

  constructor(stream: OutputStream) {
    const format = "  {bar} {percentage}%  {title}";
    const options = { format, stream, hideCursor: true, clearOnComplete: true, barsize: 28, gracefulExit: true };
    this.bar = new SingleBar(options, Presets.shades_classic);
  }

  step(title: string): void {
    if (this.shown) this.bar.update(0, { title });
    else this.bar.start(100, 0, { title });
    this.shown = true;
  }

  update(share: number): void {
    this.bar.update(Math.floor(share * 100));
  }

  done(): void {
    this.bar.update(100);
    this.stop();
  }

  stop(): void {
    if (this.shown) this.bar.stop();
    this.shown = false;
  }
}

class LineProgress implements Progress {
  private readonly stream: OutputStream;
  private title = "";
  private next = QUARTER;

  constructor(stream: OutputStream) {
    this.stream = stream;
  }

  step(title: string): void {
    this.title = title;
    this.next = QUARTER;
    this.stream.write(`  ${title}\n`);
  }

  update(share: number): void {
    if (share < this.next || share >= 1) return;
    this.next = Math.floor(share / QUARTER) * QUARTER + QUARTER;
    this.stream.write(`  ${this.title} ${Math.floor(share / QUARTER) * QUARTER * 100}%\n`);
  }

  done(): void {}
  stop(): void {}
}
