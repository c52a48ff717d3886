// Text of unknown origin (names of tests, what a test or a model said) as messages may show it.
// No import of vscode.

// Joiners stay: emoji and several scripts are written with them.
const HARMFUL = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * On one line, with control characters written as escapes, and without links: VS Code would make
 * [text](command:...) in a message a link that runs a command.
 */
export function plain(text: string): string {
  return text
    .trim()
    .replace(/[ \t\r\n]+/g, " ")
    .replace(HARMFUL, (character) => {
      const code = character.codePointAt(0) ?? 0;
      return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
    })
    .replaceAll("](", "] (");
}
