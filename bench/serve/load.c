/*
 * The load generator of the serving benchmark: HTTP/1.1 over keep-alive connections, one thread, epoll.
 *
 *   load PORT REQUESTS SECONDS closed CLIENTS         every client sends its next request when answered
 *   load PORT REQUESTS SECONDS poisson RATE           RATE requests a second at random times
 *
 * REQUESTS is a file of whole requests, each behind its length as uint32: they are sent in turn, from
 * where the process number says. In the open loop a request's time begins when it was due, not when a
 * connection was free. Prints JSON: answers by status, and in microseconds the longest time of each
 * status, of the first and the later answers of connections, and the times of answers 200.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 1024, HEAD_BYTES = 16384, GIVE_UP_SECONDS = 60 };

typedef struct {
  const char *bytes;
  uint32_t length;
} Request;

typedef struct {
  int fd;
  int busy;
  int greeted;
  double since;
  const Request *request;
  uint32_t sent;
  char head[HEAD_BYTES];
  int head_length;
  int in_body;
  int status;
  int chunked;
  long body_left;
  char tail[5];
} Connection;

static Connection connections[MAX_CONNECTIONS];
static int connection_count;
static Request *requests;
static int request_count;
static int next_request;
static int epoll_fd;
static int port;

static double *times;
static size_t time_count, time_room;
static long statuses[600];
static double longest[600], longest_first, longest_later;
static long broken;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what) {
  fprintf(stderr, "load: cannot %s: %s\n", what, strerror(errno));
  exit(1);
}

static void read_requests(const char *path) {
  FILE *file = fopen(path, "rb");
  struct stat info;
  if (!file || fstat(fileno(file), &info) != 0) die("open the requests");
  char *all = malloc(info.st_size);
  if (fread(all, 1, info.st_size, file) != (size_t)info.st_size) die("read the requests");
  fclose(file);
  for (long at = 0; at < info.st_size;) {
    uint32_t length;
    memcpy(&length, all + at, 4);
    requests = realloc(requests, (request_count + 1) * sizeof(Request));
    requests[request_count++] = (Request){all + at + 4, length};
    at += 4 + length;
  }
}

static void watch(Connection *c, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  if (epoll_ctl(epoll_fd, operation, c->fd, &event) != 0) die("watch a connection");
}

static void open_connection(Connection *c) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  c->busy = 0;
  c->greeted = 0;
  watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void send_rest(Connection *c) {
  while (c->sent < c->request->length) {
    ssize_t n = send(c->fd, c->request->bytes + c->sent, c->request->length - c->sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) {
      watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
      return;
    }
    if (n < 0) return; /* reading tells that it is closed */
    c->sent += n;
  }
  watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void ask(Connection *c, double since) {
  c->busy = 1;
  c->since = since;
  c->request = &requests[next_request];
  next_request = (next_request + 1) % request_count;
  c->sent = 0;
  c->head_length = 0;
  c->in_body = 0;
  memset(c->tail, 0, sizeof c->tail);
  send_rest(c);
}

static void answered(Connection *c) {
  c->busy = 0;
  double time = now() - c->since;
  double *longest_such = c->greeted ? &longest_later : &longest_first;
  if (time > *longest_such) *longest_such = time;
  c->greeted = 1;
  if (c->status > 0 && c->status < 600) {
    statuses[c->status]++;
    if (time > longest[c->status]) longest[c->status] = time;
  }
  if (c->status != 200) return;
  if (time_count == time_room) times = realloc(times, (time_room = time_room * 2 + 4096) * sizeof(double));
  times[time_count++] = time;
}

static void parse_head(Connection *c) {
  c->status = atoi(c->head + 9);
  c->chunked = 0;
  c->body_left = 0;
  for (char *line = strstr(c->head, "\r\n"); line && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
    if (!strncasecmp(line + 2, "content-length:", 15)) c->body_left = atol(line + 17);
    if (!strncasecmp(line + 2, "transfer-encoding: chunked", 26)) c->chunked = 1;
  }
  c->in_body = 1;
}

/* Of a chunked body only its end is looked for: the last five bytes of an answer are 0 CR LF CR LF. */
static void take_body(Connection *c, const char *bytes, long n) {
  if (!c->chunked) {
    c->body_left -= n;
    if (c->body_left <= 0) answered(c);
    return;
  }
  if (n >= 5) memcpy(c->tail, bytes + n - 5, 5);
  else {
    memmove(c->tail, c->tail + n, 5 - n);
    memcpy(c->tail + 5 - n, bytes, n);
  }
  if (!memcmp(c->tail, "0\r\n\r\n", 5)) answered(c);
}

static int receive(Connection *c) {
  static char buffer[1 << 18];
  ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
  if (n < 0 && errno == EAGAIN) return 1;
  if (n <= 0) return 0;
  if (c->in_body) {
    take_body(c, buffer, n);
    return 1;
  }
  int room = HEAD_BYTES - 1 - c->head_length;
  int taken = n < room ? n : room;
  memcpy(c->head + c->head_length, buffer, taken);
  int before = c->head_length;
  c->head_length += taken;
  c->head[c->head_length] = 0;
  char *end = strstr(c->head, "\r\n\r\n");
  if (!end) return 1;
  long used = end + 4 - c->head - before;
  parse_head(c);
  if (n > used) take_body(c, buffer + used, n - used);
  else if (!c->chunked && c->body_left == 0) answered(c);
  return 1;
}

static void reopen(Connection *c) {
  if (c->busy) broken++;
  close(c->fd);
  open_connection(c);
}

static double exponential(double rate) { return -log(1 - drand48()) / rate; }

static Connection *idle_connection(void) {
  for (int i = 0; i < connection_count; i++)
    if (!connections[i].busy) return &connections[i];
  if (connection_count == MAX_CONNECTIONS) return NULL;
  Connection *c = &connections[connection_count++];
  open_connection(c);
  return c;
}

/* Waits to the nanosecond: polling in between would take a core from the server. */
static void serve_events(double seconds, double until, int closed) {
  struct epoll_event events[256];
  struct timespec wait = {.tv_sec = (time_t)seconds};
  wait.tv_nsec = (long)((seconds - wait.tv_sec) * 1e9);
  int n = epoll_pwait2(epoll_fd, events, 256, &wait, NULL);
  for (int i = 0; i < n; i++) {
    Connection *c = events[i].data.ptr;
    if (events[i].events & EPOLLOUT) send_rest(c);
    if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
      if (!receive(c)) reopen(c);
    if (closed && !c->busy && now() < until) ask(c, now());
  }
}

static int waiting(void) {
  int n = 0;
  for (int i = 0; i < connection_count; i++) n += connections[i].busy;
  return n;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: load PORT REQUESTS SECONDS closed|poisson CLIENTS|RATE\n");
    return 2;
  }
  port = atoi(argv[1]);
  read_requests(argv[2]);
  double seconds = atof(argv[3]);
  int closed = !strcmp(argv[4], "closed");
  double amount = atof(argv[5]);
  epoll_fd = epoll_create1(0);
  next_request = getpid() % request_count;
  srand48(getpid());

  double start = now(), until = start + seconds, due = start, missed = 0;
  if (closed) {
    for (connection_count = 0; connection_count < (int)amount; connection_count++) {
      open_connection(&connections[connection_count]);
      ask(&connections[connection_count], now());
    }
    while (now() < until) serve_events(0.1, until, 1);
  } else {
    due += exponential(amount);
    while (now() < until) {
      while (due <= now() && due < until) {
        Connection *c = idle_connection();
        if (c) ask(c, due);
        else missed++;
        due += exponential(amount);
      }
      double wait = due - now();
      serve_events(wait > 0 ? wait : 0, until, 0);
    }
  }
  size_t in_time = time_count;
  double ended = now();
  while (waiting() > 0 && now() < ended + GIVE_UP_SECONDS) serve_events(0.1, until, 0);

  double sum = 0;
  for (size_t i = 0; i < time_count; i++) sum += times[i];
  qsort(times, time_count, sizeof(double), ascending);
  printf("{\"seconds\":%.4f,\"inTime\":%zu,\"answered\":%zu,\"unanswered\":%d,\"broken\":%ld,\"missed\":%.0f,\"meanUs\":%.1f,\"statuses\":{",
         ended - start, in_time, time_count, waiting(), broken, missed, time_count ? sum / time_count * 1e6 : 0);
  int first = 1;
  for (int s = 0; s < 600; s++)
    if (statuses[s]) printf("%s\"%d\":%ld", first ? "" : ",", s, statuses[s]), first = 0;
  printf("},\"longestUs\":{");
  first = 1;
  for (int s = 0; s < 600; s++)
    if (statuses[s]) printf("%s\"%d\":%.0f", first ? "" : ",", s, longest[s] * 1e6), first = 0;
  printf("},\"longestFirstUs\":%.0f,\"longestLaterUs\":%.0f,\"timesUs\":[", longest_first * 1e6, longest_later * 1e6);
  for (size_t i = 0; i < time_count; i++) printf("%s%.0f", i ? "," : "", times[i] * 1e6);
  printf("]}\n");
  return 0;
}
