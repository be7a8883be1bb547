// How the live page asks the server, and how a refusal is told.
class Refused extends Error {
  constructor(problem, retryAfter) {
    super([problem.detail || problem.title, problem.hint].filter(Boolean).join(" "));
    this.status = problem.status;
    this.retryMs = 1000 * (Number(retryAfter) || 1);
  }
}

export async function ask(method, path, body, type = "application/json") {
  let answer;
  try {
    answer = await fetch(path, { method, body, headers: body ? { "Content-Type": type } : {}, cache: "no-store" });
  } catch {
    throw new Refused({ status: 0, title: "The server does not answer." }, 2);
  }
  if (answer.status === 204) return null;
  const told = await answer.json().catch(() => ({ title: "The server's answer cannot be read." }));
  if (!answer.ok) throw new Refused({ status: answer.status, ...told }, answer.headers.get("Retry-After"));
  return told;
}
