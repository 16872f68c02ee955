// A service of its own, for the scripts that look at the dashboard.
import { spawn } from "node:child_process";

/** Starts one on free ports, over the folder that the test gave; where it is, when it says so. */
export async function serve(...options) {
  const { PROGRAM, DATA } = process.env;
  const server = spawn(PROGRAM, ["serve", "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--data", DATA, ...options], { stdio: ["ignore", "pipe", "ignore"] });
  let text = "";
  const base = await new Promise((resolve, reject) => {
    server.on("exit", (code) => reject(new Error(`the service ended with ${code}: ${text}`)));
    server.stdout.on("data", (chunk) => {
      text += chunk;
      const found = /http:\/\/([0-9.:]+)\//.exec(text);
      if (found) resolve(`http://${found[1]}`);
    });
  });
  return { server, base };
}
