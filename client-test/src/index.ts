/** The exports for dashboards. */

export type * from "./events.ts";
export type * from "./messages.ts";
export { OrionAdapter, type ConnectionState, type OrionOptions, type Resync } from "./orion-adapter.ts";
export { OrionWebSocket } from "./orion-websocket.ts";
