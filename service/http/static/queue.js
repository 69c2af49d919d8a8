// Few requests at a time: twenty images must not become twenty uploads side by side.

export class Queue {
  #limit;
  #running = 0;
  #waiting = [];

  constructor(limit) {
    this.#limit = limit;
  }

  /** Resolves with the task's result when its turn has come and it is done. */
  add(task) {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => task().then(resolve, reject));
      this.#next();
    });
  }

  #next() {
    while (this.#running < this.#limit && this.#waiting.length) {
      this.#running += 1;
      this.#waiting.shift()().finally(() => {
        this.#running -= 1;
        this.#next();
      });
    }
  }
}
