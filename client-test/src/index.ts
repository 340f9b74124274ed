/** The exports for dashboards. */

export type * from "./messages.ts";
export { OrionAdapter, type ConnectionState, type Message, type OrionOptions, type Resync, type Selection } from "./orion-adapter.ts";
export { OrionWebSocket } from "./orion-websocket.ts";
