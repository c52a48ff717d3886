// What the server adds to the protocol; docs/editors.md has the words.

export interface Patch {
  label: string;
  diff: string;
  newText: string;
}

export interface PreviewParams {
  repair: number;
  uri: string;
  version: number | null;
  function: string;
  message: string;
  patches: Patch[];
}

export interface PreviewResult {
  accept: number | null;
}

export type State = "idle" | "testing" | "loading" | "repairing" | "failed";

export interface StatusParams {
  state: State;
  message: string;
  repair?: number;
  function?: string;
  turn?: number;
  queued?: number;
}

export interface ShownText {
  title: string;
  text: string;
}
