/** What a dashboard imports. */

export * from "./messages.ts";
export { OrionAdapter, type ConnectionState, type OrionOptions, type Resync } from "./orion-adapter.ts";
export { OrionWebSocket } from "./orion-websocket.ts";
