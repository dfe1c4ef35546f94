import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import instances.validators
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('instances', '0002_production'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.DeleteModel(
            name='Backup',
        ),
        migrations.CreateModel(
            name='ActionLock',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('action', models.CharField(choices=[('start', 'start'), ('stop', 'stop'), ('update', 'update'), ('remove', 'remove'), ('backup', 'backup'), ('restore', 'restore')], max_length=20, verbose_name='action')),
                ('reason', models.CharField(help_text='Shown to everybody who asks for the action.', max_length=200, validators=[instances.validators.SingleLine()], verbose_name='reason')),
                ('locked_at', models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name='locked at')),
            ],
            options={
                'verbose_name': 'lock',
                'verbose_name_plural': 'locks',
                'ordering': ['instance', 'action'],
            },
        ),
        migrations.CreateModel(
            name='Backup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('db', models.CharField(choices=[('sqlite', 'SQLite'), ('postgresql', 'PostgreSQL')], max_length=20, verbose_name='database')),
                ('reason', models.CharField(choices=[('manual', 'asked for'), ('scheduled', 'scheduled'), ('update', 'before an update'), ('restore', 'before a restore'), ('remove', 'before the removal'), ('clone', 'for a clone')], default='manual', max_length=20, verbose_name='reason')),
                ('name', models.CharField(help_text='Of the archive in the backup store.', max_length=200, unique=True, verbose_name='name')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='created at')),
                ('completed_at', models.DateTimeField(blank=True, null=True, verbose_name='completed at')),
                ('expires_at', models.DateTimeField(blank=True, help_text='Empty: kept until it is deleted.', null=True, verbose_name='expires at')),
                ('size', models.PositiveBigIntegerField(default=0, help_text='In bytes.', verbose_name='size')),
                ('sha256', models.CharField(blank=True, max_length=64, verbose_name='SHA-256')),
                ('verified_at', models.DateTimeField(blank=True, null=True, verbose_name='verified at')),
                ('problem', models.TextField(blank=True, help_text='What the last verification found.', verbose_name='problem')),
            ],
            options={
                'verbose_name': 'backup',
                'verbose_name_plural': 'backups',
                'ordering': ['-created_at', '-id'],
                'permissions': [('download_backup', 'Can download backups'), ('restore_backup', 'Can restore backups')],
            },
        ),
        migrations.CreateModel(
            name='Orphan',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('directory', 'directory'), ('database', 'database'), ('role', 'database account'), ('service', 'service'), ('container', 'container'), ('cache_user', 'Redis account'), ('address', 'address'), ('backup', 'backup file')], max_length=20, verbose_name='kind')),
                ('name', models.CharField(max_length=255, verbose_name='name')),
                ('instance_id', models.CharField(blank=True, help_text='The id that it was made for, as far as its name says.', max_length=32, verbose_name='instance')),
                ('first_seen_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='first seen')),
                ('removal_asked_at', models.DateTimeField(blank=True, null=True, verbose_name='removal asked for at')),
                ('problem', models.TextField(blank=True, help_text='Why it could not be removed.', verbose_name='problem')),
            ],
            options={
                'verbose_name': 'orphan',
                'verbose_name_plural': 'orphans',
                'ordering': ['host', 'kind', 'name'],
            },
        ),
        migrations.CreateModel(
            name='Rollout',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('status', models.CharField(choices=[('running', 'running'), ('stopped', 'stopped'), ('finished', 'finished'), ('cancelled', 'cancelled')], default='running', max_length=20, verbose_name='status')),
                ('reason', models.TextField(blank=True, help_text='Why it stopped.', verbose_name='reason')),
                ('waves', models.CharField(default='1,5,20%', help_text='Instances per wave, in numbers or in percent of all; the last one is repeated.', max_length=100, verbose_name='waves')),
                ('failure_percent', models.PositiveSmallIntegerField(default=10, help_text='In percent of a wave. When more of it fail, the next one does not begin.', validators=[django.core.validators.MaxValueValidator(100)], verbose_name='failures allowed')),
                ('wave', models.PositiveIntegerField(default=1, help_text='The one that runs.', verbose_name='wave')),
                ('not_before', models.DateTimeField(blank=True, null=True, verbose_name='not before')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='created at')),
                ('finished_at', models.DateTimeField(blank=True, null=True, verbose_name='finished at')),
                ('requested_via', models.CharField(choices=[('admin', 'admin page'), ('api', 'API'), ('command', 'command line'), ('system', 'the system itself')], default='system', max_length=20, verbose_name='requested via')),
            ],
            options={
                'verbose_name': 'update of many',
                'verbose_name_plural': 'updates of many',
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='RolloutItem',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('wave', models.PositiveIntegerField(verbose_name='wave')),
                ('status', models.CharField(choices=[('waiting', 'waiting'), ('running', 'running'), ('updated', 'updated'), ('failed', 'failed'), ('skipped', 'skipped')], default='waiting', max_length=20, verbose_name='status')),
                ('note', models.TextField(blank=True, verbose_name='note')),
            ],
            options={
                'verbose_name': 'instance of an update of many',
                'verbose_name_plural': 'instances of an update of many',
                'ordering': ['rollout', 'wave', 'id'],
            },
        ),
        migrations.CreateModel(
            name='StateChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('new', 'new'), ('installing', 'installing'), ('installing-failed', 'installation failed'), ('active', 'active'), ('error', 'error'), ('starting', 'starting'), ('sleeping', 'sleeping'), ('stopped', 'stopped'), ('updating', 'updating'), ('update-failed', 'update failed'), ('removing', 'removing'), ('unknown', 'unknown')], max_length=20, verbose_name='state')),
                ('wanted', models.CharField(choices=[('active', 'active'), ('stopped', 'stopped'), ('removed', 'removed')], default='active', max_length=20, verbose_name='wanted state')),
                ('at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='time')),
            ],
            options={
                'verbose_name': 'change of state',
                'verbose_name_plural': 'changes of state',
                'ordering': ['-at', '-id'],
            },
        ),
        migrations.AlterModelOptions(
            name='instance',
            options={'ordering': ['-created_at', 'id'], 'permissions': [('view_credentials', 'Can see the passwords of instances'), ('purge_instance', 'Can remove instances at once, with all their backups')], 'verbose_name': 'instance', 'verbose_name_plural': 'instances'},
        ),
        migrations.RemoveConstraint(
            model_name='operation',
            name='one_unfinished_operation_per_instance',
        ),
        migrations.RemoveConstraint(
            model_name='operation',
            name='finished_has_an_outcome',
        ),
        migrations.RemoveConstraint(
            model_name='operation',
            name='operation_has_its_subject',
        ),
        migrations.AddField(
            model_name='instance',
            name='last_used_at',
            field=models.DateTimeField(blank=True, editable=False, help_text='When somebody was last connected to it.', null=True, verbose_name='last used'),
        ),
        migrations.AddField(
            model_name='instance',
            name='attention',
            field=models.TextField(blank=True, editable=False, help_text='Why it is not tried any more.', verbose_name='needs attention'),
        ),
        migrations.AddField(
            model_name='instance',
            name='backup_hours',
            field=models.PositiveSmallIntegerField(choices=[(0, 'never'), (6, 'every 6 hours'), (12, 'every 12 hours'), (24, 'daily'), (168, 'weekly')], default=0, help_text='How often it is backed up by itself.', verbose_name='backups'),
        ),
        migrations.AddField(
            model_name='instance',
            name='retries',
            field=models.PositiveSmallIntegerField(default=0, editable=False, verbose_name='tries to mend it'),
        ),
        migrations.AddField(
            model_name='instance',
            name='retry_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='next try at'),
        ),
        migrations.AddField(
            model_name='operation',
            name='cancel_asked_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='cancel asked for at'),
        ),
        migrations.AddField(
            model_name='operation',
            name='down_seconds',
            field=models.FloatField(blank=True, help_text='Seconds in which OpenSlides did not answer.', null=True, verbose_name='downtime'),
        ),
        migrations.AddField(
            model_name='operation',
            name='down_since',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='down since'),
        ),
        migrations.AddField(
            model_name='operation',
            name='from_backup',
            field=models.BooleanField(default=False, editable=False, help_text='Stays when the backup is gone: without it nothing is created in its place.', verbose_name='starts from a backup'),
        ),
        migrations.AddField(
            model_name='operation',
            name='image',
            field=models.CharField(blank=True, editable=False, help_text='What a preparation has prepared; empty when it was discarded since.', max_length=255, verbose_name='image'),
        ),
        migrations.AddField(
            model_name='operation',
            name='heartbeat_boot',
            field=models.FloatField(blank=True, editable=False, help_text="Of the same heartbeat: seconds since the worker's machine was started.", null=True),
        ),
        migrations.AddField(
            model_name='operation',
            name='is_final',
            field=models.BooleanField(default=False, editable=False, verbose_name='cannot be cancelled any more'),
        ),
        migrations.AddField(
            model_name='operation',
            name='not_before',
            field=models.DateTimeField(blank=True, null=True, verbose_name='not before'),
        ),
        migrations.AddField(
            model_name='operation',
            name='previous_desired',
            field=models.CharField(blank=True, editable=False, max_length=20, verbose_name='desired state before'),
        ),
        migrations.AddField(
            model_name='operation',
            name='reached',
            field=models.PositiveSmallIntegerField(default=0, editable=False, help_text='The most that any run of it began.', verbose_name='steps begun'),
        ),
        migrations.AlterField(
            model_name='instance',
            name='failure',
            field=models.CharField(blank=True, choices=[('create', 'create'), ('start', 'start'), ('stop', 'stop'), ('update', 'update'), ('remove', 'remove'), ('prepare', 'prepare'), ('mail', 'test mail'), ('backup', 'backup'), ('restore', 'restore'), ('verify', 'verify a backup'), ('purge', 'purge')], editable=False, max_length=20, verbose_name='failed operation'),
        ),
        migrations.AlterField(
            model_name='operation',
            name='kind',
            field=models.CharField(choices=[('create', 'create'), ('start', 'start'), ('stop', 'stop'), ('update', 'update'), ('remove', 'remove'), ('prepare', 'prepare'), ('mail', 'test mail'), ('backup', 'backup'), ('restore', 'restore'), ('verify', 'verify a backup'), ('purge', 'purge')], max_length=20, verbose_name='kind'),
        ),
        migrations.AlterField(
            model_name='operation',
            name='status',
            field=models.CharField(choices=[('postponed', 'postponed'), ('queued', 'waiting'), ('running', 'running'), ('succeeded', 'succeeded'), ('failed', 'failed'), ('cancelled', 'cancelled')], default='queued', max_length=20, verbose_name='status'),
        ),
        migrations.AddField(
            model_name='actionlock',
            name='instance',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='locks', to='instances.instance', verbose_name='instance'),
        ),
        migrations.AddField(
            model_name='actionlock',
            name='locked_by',
            field=models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='locked by'),
        ),
        migrations.AddField(
            model_name='backup',
            name='created_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='created by'),
        ),
        migrations.AddField(
            model_name='backup',
            name='host',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='backups', to='instances.host', verbose_name='host'),
        ),
        migrations.AddField(
            model_name='backup',
            name='instance',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='backups', to='instances.instance', verbose_name='instance'),
        ),
        migrations.AddField(
            model_name='backup',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='backups', to='instances.version', verbose_name='version'),
        ),
        migrations.AddField(
            model_name='operation',
            name='backup',
            field=models.ForeignKey(blank=True, help_text='The one that is made, or that it starts from.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='operations', to='instances.backup', verbose_name='backup'),
        ),
        migrations.AddField(
            model_name='operation',
            name='safety_backup',
            field=models.ForeignKey(blank=True, help_text='The one that is made before anything is changed.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='safety_of', to='instances.backup', verbose_name='safety backup'),
        ),
        migrations.AddConstraint(
            model_name='operation',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ('queued', 'running'))), fields=('instance',), name='one_unfinished_operation_per_instance'),
        ),
        migrations.AddConstraint(
            model_name='operation',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'postponed')), fields=('instance', 'kind'), name='one_postponed_operation_per_instance_and_kind'),
        ),
        migrations.AddConstraint(
            model_name='operation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at', None), ('status__in', ['postponed', 'queued', 'running'])), models.Q(('finished_at__isnull', False), ('status__in', ['succeeded', 'failed', 'cancelled'])), _connector='OR'), name='finished_has_an_outcome'),
        ),
        migrations.AddConstraint(
            model_name='operation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('instance', None), ('kind', 'prepare'), ('version__isnull', False)), models.Q(('instance', None), ('kind', 'verify')), models.Q(models.Q(('kind__in', ['prepare', 'verify']), _negated=True), ('instance__isnull', False)), _connector='OR'), name='operation_has_its_subject'),
        ),
        migrations.AddField(
            model_name='orphan',
            name='host',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='orphans', to='instances.host', verbose_name='host'),
        ),
        migrations.AddField(
            model_name='orphan',
            name='removal_asked_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='removal asked for by'),
        ),
        migrations.AddField(
            model_name='rollout',
            name='requested_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='requested by'),
        ),
        migrations.AddField(
            model_name='rollout',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rollouts', to='instances.version', verbose_name='version'),
        ),
        migrations.AddField(
            model_name='rolloutitem',
            name='instance',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='rollout_items', to='instances.instance', verbose_name='instance'),
        ),
        migrations.AddField(
            model_name='rolloutitem',
            name='operation',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='rollout_items', to='instances.operation', verbose_name='operation'),
        ),
        migrations.AddField(
            model_name='rolloutitem',
            name='rollout',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='items', to='instances.rollout', verbose_name='update of many'),
        ),
        migrations.AddField(
            model_name='statechange',
            name='instance',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='state_changes', to='instances.instance', verbose_name='instance'),
        ),
        migrations.AddConstraint(
            model_name='actionlock',
            constraint=models.UniqueConstraint(fields=('instance', 'action'), name='one_lock_per_action'),
        ),
        migrations.AddConstraint(
            model_name='orphan',
            constraint=models.UniqueConstraint(fields=('host', 'kind', 'name'), name='orphans_are_listed_once'),
        ),
        migrations.AddConstraint(
            model_name='rolloutitem',
            constraint=models.UniqueConstraint(fields=('rollout', 'instance'), name='once_per_rollout'),
        ),
        migrations.AddIndex(
            model_name='statechange',
            index=models.Index(fields=['instance', 'at'], name='state_changes_of_instance'),
        ),
    ]
