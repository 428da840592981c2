import { connect, createServer, type Server, type Socket } from 'node:net';

/** Between a process and its database: it can stand still as a stopped database does, cut as a killed one does, and refuse as an absent one. */
export class Wire {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #still = false;
  #away = false;

  constructor(host: string, port: number) {
    this.#server = createServer((socket) => {
      if (this.#away) {
        socket.destroy();
        return;
      }
      const database = connect(port, host);
      socket.pipe(database);
      database.pipe(socket);
      for (const one of [socket, database]) {
        this.#sockets.add(one);
        if (this.#still) one.pause();
        one.on('error', () => undefined);
        one.on('close', () => {
          this.#sockets.delete(one);
          socket.destroy();
          database.destroy();
        });
      }
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  standStill(still: boolean): void {
    this.#still = still;
    for (const socket of this.#sockets) {
      if (still) socket.pause();
      else socket.resume();
    }
  }

  /** What is open now is lost without a word, as where a machine vanished; what is opened from now on works. */
  lose(): void {
    for (const socket of this.#sockets) socket.pause();
  }

  get isAway(): boolean {
    return this.#away;
  }

  /** Cuts, and lets nobody in until it is over. */
  goAway(away: boolean): void {
    this.#away = away;
    if (away) this.cut();
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
