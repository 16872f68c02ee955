-- Messages are acknowledged, received or complete, and packet ids are free again: of many sessions in one call.
-- ARGV: replica, (client, epoch, sent, below which all is over, how many, (acknowledged number)*, how many, (kind, number)*)*: r received,
--   c complete, f free
-- Answers: for each session 0, or -1: another holds it, or the store has forgotten something since it was taken
local me, at, answer, gen = ARGV[1], 2, {}, generation()
while at <= #ARGV do
  local client, epoch, sent = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local over = ARGV[at + 3]
  local first = at + 5
  local last = first + tonumber(ARGV[at + 4]) - 1
  local others_at = last + 2
  at = others_at + 2 * tonumber(ARGV[last + 1])
  local key, queue = P .. 's:' .. client, P .. 'q:' .. client
  -- As `held`, with what else is needed.
  local s = redis.call('HMGET', key, 'epoch', 'owner', 'bytes', 'sent', 'length', 'gen')
  -- Below which all is over is known from what was sent: of another generation, other messages may have those numbers.
  if s[1] ~= epoch or s[2] ~= me or s[6] ~= gen then
    answer[#answer + 1] = -1
  else
    -- Mostly they are acknowledged in their order: that is one step for any number of them.
    local removed = over ~= '0' and redis.call('XTRIM', queue, 'MINID', over) or 0
    for from = first, last, 1000 do
      removed = removed + redis.call('XDEL', queue, unpack(ARGV, from, math.min(last, from + 999)))
    end
    for other = others_at, at - 1, 2 do
      local kind, number = ARGV[other], ARGV[other + 1]
      if kind == 'r' then
        removed = removed + redis.call('XDEL', queue, number)
        redis.call('SADD', P .. 'r:' .. client, number)
      elseif kind == 'c' then
        redis.call('SREM', P .. 'r:' .. client, number)
      else
        redis.call('HDEL', P .. 'i:' .. client, number)
      end
    end
    local bytes, known, length = tonumber(s[3] or '0'), tonumber(s[4] or '0'), tonumber(s[5] or '0')
    if removed > 0 then
      -- Messages are taken to be of a size.
      local rest = math.max(length - removed, 0)
      bytes = math.floor(bytes * rest / (rest + removed))
      redis.call('HSET', key, 'bytes', bytes, 'sent', math.max(sent, known), 'length', rest)
    elseif sent > known then
      redis.call('HSET', key, 'sent', sent)
    end
    answer[#answer + 1] = 0
  end
end
return answer
