/** The exports for dashboards. */

export * from "./messages.ts";
export { OrionAdapter, type ConnectionState, type OrionOptions, type Resync } from "./orion-adapter.ts";
export { OrionWebSocket } from "./orion-websocket.ts";
