// Plain columns: cells padded to the widest of their column, two spaces between, nothing at the end of a line.

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** Lines of a table; without a header when every title is empty. */
export function columns(shape: readonly Column[], rows: readonly (readonly string[])[], indent = ""): string[] {
  const titles = shape.map(({ title }) => title);
  const all = titles.some((title) => title !== "") ? [titles, ...rows] : rows;
  const widths = shape.map((_, index) => Math.max(0, ...all.map((row) => (row[index] ?? "").length)));
  return all.map((row) => {
    const cells = shape.map(({ align = "left" }, index) => {
      const cell = row[index] ?? "";
      return align === "right" ? cell.padStart(widths[index] as number) : cell.padEnd(widths[index] as number);
    });
    return indent + cells.join("  ").trimEnd();
  });
}
