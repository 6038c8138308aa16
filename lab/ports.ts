/** nginx of the real servers. */
export const HTTP_PORT = 80;
/** The UDP responder. */
export const UDP_PORT = 5000;
/** Takes uploads and answers with their SHA-256. */
export const UPLOAD_PORT = 8080;
