/** The body of a response as the type that the test expects of it; assertions follow. */
export async function readJson<T>(response: Response | Promise<Response>): Promise<T> {
  return (await (await response).json()) as T
}
