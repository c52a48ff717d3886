// Stands in for `vscode` in the unit tests: its texts without a translation are the texts themselves.

export const l10n = {
  t: (text: string, ...values: unknown[]): string =>
    text.replace(/\{(\d+)\}/g, (_, number: string) => String(values[Number(number)])),
};
