<?php
// Arrays, closures, generators, regular expressions, hashing, files, exceptions.
function primes(int $limit): Generator {
    $sieve = array_fill(0, $limit, true);
    for ($i = 2; $i < $limit; $i++) {
        if (!$sieve[$i]) continue;
        yield $i;
        for ($j = $i * $i; $j < $limit; $j += $i) $sieve[$j] = false;
    }
}
final class Beam implements JsonSerializable {
    public function __construct(private string $name, private float $length) {}
    public function jsonSerialize(): array { return ['name' => $this->name, 'length' => $this->length]; }
}
$found = iterator_to_array(primes(50000), false);
echo count($found), ' ', end($found), ' ', md5(implode(',', $found)), ' ', hash('sha256', 'precast'), "\n";
$words = preg_split('/[^a-z]+/', strtolower(file_get_contents('/job/text.txt')), -1, PREG_SPLIT_NO_EMPTY);
$counts = array_count_values($words);
uksort($counts, fn($a, $b) => $counts[$b] <=> $counts[$a] ?: strcmp($a, $b));
print_r(array_slice($counts, 0, 5));
echo json_encode([new Beam('lintel', 1.25), new Beam('slab', 4), 'ž' => "\u{17e}"], JSON_PRETTY_PRINT), "\n";
@mkdir('/job/made');
for ($i = 0; $i < 10; $i++) file_put_contents("/job/made/$i.txt", str_repeat("line $i\n", $i));
$names = array_values(array_diff(scandir('/job/made'), ['.', '..']));
echo implode(' ', $names), ' ', array_sum(array_map(fn($n) => filesize("/job/made/$n"), $names)), "\n";
try {
    intdiv(1, 0);
} catch (DivisionByZeroError $e) {
    echo get_class($e), ': ', $e->getMessage(), "\n";
} finally {
    echo "finally\n";
}
printf("%08.3f|%-6s|%+d|%s\n", M_PI, 'ab', 5, serialize([1, 'two' => 3.5]));
usort($found, fn($a, $b) => strrev((string)$a) <=> strrev((string)$b));
echo implode(' ', array_slice($found, 0, 8)), ' ', sprintf('%.15g', array_sum(array_map('sqrt', $found))), "\n";
exit(3);
