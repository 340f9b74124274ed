/** The little of socket.io-client 2.x that the suites use; the package has no types of its own. */

declare module "socket.io-client-2" {
  export interface SocketV2 {
    readonly connected: boolean;
    on(name: string, listener: (...args: any[]) => void): this;
    emit(name: string, ...args: unknown[]): this;
    send(...args: unknown[]): this;
    close(): this;
  }
  export default function io(url: string, options?: Record<string, unknown>): SocketV2;
}
